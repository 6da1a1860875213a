# Asks a mesh over typed gRPC: whole, streamed, with a deadline, cancelled; and shows what failures say.
#
# ruby typed.rb [ADDRESS] [MODEL]

$LOAD_PATH.unshift(File.join(__dir__, "generated"))

require "google/protobuf/well_known_types"
require "google/rpc/error_details_pb"
require "grpc"
require "hybridinference/gateway/v1/inference_service_services_pb"
require "json"

include Hybridinference::Gateway::V1

$stdout.sync = true
LONG = "Count to two hundred: #{(1..200).to_a.join(' ')}"

# What to generate. Options are for one kind of provider alone; these here for an echo worker.
def ask(model, text, options = nil)
  {
    model: model,
    messages: [Hybridinference::Inference::V1::Message.new(
      role: :ROLE_USER, parts: [Hybridinference::Inference::V1::Part.new(text: text)]
    )],
    max_output_tokens: 256,
    provider_options_json: options ? JSON.generate(options) : ""
  }
end

# Why a call failed, for a program to act on: the reason with its metadata, and when to come back.
def explain(error)
  said = [error.class.name.split("::").last]
  (error.to_rpc_status&.details || []).each do |detail|
    if (info = detail.unpack(Google::Rpc::ErrorInfo))
      said += [info.reason, *info.metadata.to_h.sort.map { |key, value| "#{key}=#{value}" }]
    elsif (retry_info = detail.unpack(Google::Rpc::RetryInfo))
      said << "retry after #{(retry_info.retry_delay.to_f * 1000).round} ms"
    end
  end
  said.join(", ")
end

def whole(client, model)
  answer = client.generate(GenerateRequest.new(spec: ask(model, "What is the capital of France?")), deadline: Time.now + 60)
  puts "whole: #{answer.choices.first.content.text}"
  puts "tokens: #{answer.usage.input_tokens} in, #{answer.usage.output_tokens} out"
end

def stream(client, model)
  print "stream: "
  text = "Say these words one after the other: red orange yellow green blue indigo violet"
  client.stream_generate(StreamGenerateRequest.new(spec: ask(model, text)), deadline: Time.now + 60).each do |answer|
    print answer.event.delta.text if answer.event.delta
  end
  puts
end

def deadline(client, model)
  client.generate(GenerateRequest.new(spec: ask(model, LONG)), deadline: Time.now + 0.3)
rescue GRPC::DeadlineExceeded
  puts "deadline: DEADLINE_EXCEEDED"
end

def cancel(client, model)
  call = client.stream_generate(StreamGenerateRequest.new(spec: ask(model, LONG)), return_op: true)
  call.execute.each do |answer|
    call.cancel if answer.event.delta # ends the work behind the mesh, too
  end
rescue GRPC::Cancelled
  puts "cancelled: CANCELLED"
end

def failures(client, model)
  busy = { echo: { fail: "ACCOUNTING_UNAVAILABLE", retry_after_ms: 1500 } }
  [ask("no-such-model", "Hello"), ask(model, "Hello", busy)].each do |spec|
    client.generate(GenerateRequest.new(spec: spec), deadline: Time.now + 60)
  rescue GRPC::BadStatus => e
    puts "failure: #{explain(e)}"
  end
end

address, model = ARGV
client = InferenceService::Stub.new(address || "127.0.0.1:8080", :this_channel_is_insecure)
%i[whole stream deadline cancel failures].each { |example| send(example, client, model || "echo") }
