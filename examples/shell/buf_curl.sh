#!/usr/bin/env bash
# Asks a mesh with `buf curl`, over gRPC and over gRPC-Web. It learns the contracts from the mesh itself; with
# `--schema FILE`, from the published ones.
#
# buf_curl.sh [URL] [MODEL]
set -euo pipefail

url=${1:-http://127.0.0.1:8080}
model=${2:-echo}
service=hybridinference.gateway.v1.InferenceService
count="Count to two hundred: $(seq -s ' ' 200)"

call() { # METHOD DATA [OPTIONS OF BUF]
  buf curl --http2-prior-knowledge --protocol "$protocol" "${@:3}" --data "$2" "$url/$service/$1"
}
spec() { # MODEL TEXT [OPTIONS FOR ONE KIND OF PROVIDER, AS JSON TEXT]
  printf '{"spec": {"model": "%s", "messages": [{"role": "ROLE_USER", "parts": [{"text": "%s"}]}], "max_output_tokens": 256, "provider_options_json": "%s"}}' \
    "$1" "$2" "${3:-}"
}
busy='{\"echo\": {\"fail\": \"ACCOUNTING_UNAVAILABLE\", \"retry_after_ms\": 1500}}'

echo '# what there is'
buf curl --http2-prior-knowledge --protocol grpc --list-services "$url"
buf curl --http2-prior-knowledge --protocol grpc --list-methods "$url"

for protocol in grpc grpcweb; do
  echo "# $protocol: a whole answer"
  call Generate "$(spec "$model" 'What is the capital of France?')"

  echo "# $protocol: a stream"
  call StreamGenerate "$(spec "$model" 'red orange yellow green blue')"

  echo "# $protocol: a deadline"
  call Generate "$(spec "$model" "$count")" --timeout 1s 2>&1 || echo "buf ends with $?"

  echo "# $protocol: a stream that is left after its first lines; that ends the work behind the mesh, too"
  { call StreamGenerate "$(spec "$model" "$count")" || true; } | head -n 20

  echo "# $protocol: failures"
  call Generate "$(spec no-such-model Hello)" 2>&1 || echo "buf ends with $?"
  call Generate "$(spec "$model" Hello "$busy")" 2>&1 || echo "buf ends with $?"
done
