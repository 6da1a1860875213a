// Asks a mesh over typed gRPC: whole, streamed, with a deadline, cancelled; and shows what failures say.
//
// typed [ADDRESS] [MODEL]

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <iostream>
#include <map>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "hybridinference/gateway/v1/inference_service.grpc.pb.h"

namespace gateway = hybridinference::gateway::v1;
namespace inference = hybridinference::inference::v1;
using Client = gateway::InferenceService::Stub;
using std::chrono::milliseconds;

// A request for a whole answer or for a stream. Options are for one kind of provider alone; here for an echo worker.
template <typename Request>
Request Ask(const std::string& model, const std::string& text, const std::string& options_json = "") {
  Request request;
  inference::GenerationSpec* spec = request.mutable_spec();
  spec->set_model(model);
  spec->set_max_output_tokens(256);
  spec->set_provider_options_json(options_json);
  inference::Message* message = spec->add_messages();
  message->set_role(inference::ROLE_USER);
  message->add_parts()->set_text(text);
  return request;
}

std::string Long() {
  std::string text = "Count to two hundred:";
  for (int number = 1; number <= 200; ++number) text += " " + std::to_string(number);
  return text;
}

void Within(grpc::ClientContext& context, milliseconds time) {
  context.set_deadline(std::chrono::system_clock::now() + time);
}

// Why a call failed, for a program to act on: the reason with its metadata, and when to come back.
std::string Explain(const grpc::Status& failed) {
  google::rpc::Status status;
  status.ParseFromString(failed.error_details());
  std::string said = "code " + std::to_string(failed.error_code());
  for (const google::protobuf::Any& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      said += ", " + info.reason();
      for (const auto& [key, value] : std::map(info.metadata().begin(), info.metadata().end()))
        said += ", " + key + "=" + value;
    } else if (detail.UnpackTo(&retry)) {
      const auto wait = google::protobuf::util::TimeUtil::DurationToMilliseconds(retry.retry_delay());
      said += ", retry after " + std::to_string(wait) + " ms";
    }
  }
  return said;
}

void Whole(Client& client, const std::string& model) {
  grpc::ClientContext context;
  Within(context, std::chrono::minutes(1));
  gateway::GenerateResponse answer;
  const auto request = Ask<gateway::GenerateRequest>(model, "What is the capital of France?");
  const grpc::Status status = client.Generate(&context, request, &answer);
  if (!status.ok()) {
    std::cout << "failure: " << Explain(status) << std::endl;
    return;
  }
  std::cout << "whole: " << answer.choices(0).content().text() << std::endl;
  std::cout << "tokens: " << answer.usage().input_tokens() << " in, " << answer.usage().output_tokens() << " out\n";
}

void Stream(Client& client, const std::string& model) {
  grpc::ClientContext context;
  Within(context, std::chrono::minutes(1));
  const auto events = client.StreamGenerate(
      &context, Ask<gateway::StreamGenerateRequest>(
                    model, "Say these words one after the other: red orange yellow green blue indigo violet"));
  std::cout << "stream: ";
  for (gateway::StreamGenerateResponse answer; events->Read(&answer);)
    std::cout << answer.event().delta().text() << std::flush;
  std::cout << std::endl;
  if (const grpc::Status status = events->Finish(); !status.ok())
    std::cout << "failure: " << Explain(status) << std::endl;
}

void Deadline(Client& client, const std::string& model) {
  grpc::ClientContext context;
  Within(context, milliseconds(300));
  gateway::GenerateResponse answer;
  const grpc::Status status = client.Generate(&context, Ask<gateway::GenerateRequest>(model, Long()), &answer);
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) std::cout << "deadline: DEADLINE_EXCEEDED\n";
}

void Cancel(Client& client, const std::string& model) {
  grpc::ClientContext context;
  const auto events = client.StreamGenerate(&context, Ask<gateway::StreamGenerateRequest>(model, Long()));
  for (gateway::StreamGenerateResponse answer; events->Read(&answer);)
    if (!answer.event().delta().text().empty()) context.TryCancel();  // ends the work behind the mesh, too
  if (events->Finish().error_code() == grpc::StatusCode::CANCELLED) std::cout << "cancelled: CANCELLED\n";
}

void Failures(Client& client, const std::string& model) {
  const std::string busy = R"({"echo": {"fail": "ACCOUNTING_UNAVAILABLE", "retry_after_ms": 1500}})";
  for (const auto& request : {Ask<gateway::GenerateRequest>("no-such-model", "Hello"),
                              Ask<gateway::GenerateRequest>(model, "Hello", busy)}) {
    grpc::ClientContext context;
    Within(context, std::chrono::minutes(1));
    gateway::GenerateResponse answer;
    std::cout << "failure: " << Explain(client.Generate(&context, request, &answer)) << std::endl;
  }
}

int main(int count, char** arguments) {
  const std::string address = count > 1 ? arguments[1] : "127.0.0.1:8080";
  const std::string model = count > 2 ? arguments[2] : "echo";
  const auto client = gateway::InferenceService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  for (const auto example : {Whole, Stream, Deadline, Cancel, Failures}) example(*client, model);
}
