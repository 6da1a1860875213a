#!/usr/bin/env bash
# Asks a mesh with grpcurl, which learns the contracts from the mesh itself.
#
# grpcurl.sh [ADDRESS] [MODEL]
set -euo pipefail

address=${1:-127.0.0.1:8080}
model=${2:-echo}
service=hybridinference.gateway.v1.InferenceService
count="Count to two hundred: $(seq -s ' ' 200)"

call() { # METHOD DATA [OPTIONS OF GRPCURL]
  grpcurl -plaintext "${@:3}" -d "$2" "$address" "$1"
}
spec() { # MODEL TEXT [OPTIONS FOR ONE KIND OF PROVIDER, AS JSON TEXT]
  printf '{"spec": {"model": "%s", "messages": [{"role": "ROLE_USER", "parts": [{"text": "%s"}]}], "max_output_tokens": 256, "provider_options_json": "%s"}}' \
    "$1" "$2" "${3:-}"
}

echo '# what there is'
grpcurl -plaintext "$address" list
grpcurl -plaintext "$address" describe $service
grpcurl -plaintext "$address" describe hybridinference.inference.v1.SamplingParams

echo '# health'
call grpc.health.v1.Health/Check "{\"service\": \"$service\"}"

echo '# the models'
call $service/ListModels '{}'

echo '# a whole answer'
call $service/Generate "$(spec "$model" 'What is the capital of France?')"

echo '# a stream'
call $service/StreamGenerate "$(spec "$model" 'red orange yellow green blue')"

echo '# a deadline'
call $service/Generate "$(spec "$model" "$count")" -max-time 0.3 2>&1 || echo "grpcurl ends with $?"

echo '# a stream that is left after its first lines; that ends the work behind the mesh, too'
{ call $service/StreamGenerate "$(spec "$model" "$count")" || true; } | head -n 20

echo '# failures: a model that is not there, and (an echo worker told so) one that passes'
call $service/Generate "$(spec no-such-model Hello)" 2>&1 || echo "grpcurl ends with $?"
busy='{\"echo\": {\"fail\": \"ACCOUNTING_UNAVAILABLE\", \"retry_after_ms\": 1500}}'
call $service/Generate "$(spec "$model" Hello "$busy")" 2>&1 || echo "grpcurl ends with $?"
