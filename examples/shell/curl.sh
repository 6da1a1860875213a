#!/usr/bin/env bash
# Asks a mesh with curl: in OpenAI's words, and the typed API as plain JSON.
#
# curl.sh [URL] [MODEL]
set -euo pipefail

url=${1:-http://127.0.0.1:8080}
model=${2:-echo}
count="Count to two hundred: $(seq -s ' ' 200)"

post() { # PATH BODY [OPTIONS OF CURL]
  curl --silent --no-buffer --header 'content-type: application/json' "${@:3}" --data "$2" "$url$1"
}
chat() { # TEXT [MORE FIELDS]
  printf '{"model": "%s", "messages": [{"role": "user", "content": "%s"}], "max_completion_tokens": 256%s}' "$model" "$1" "${2:-}"
}
spec() { # MODEL TEXT [MORE FIELDS]
  printf '{"spec": {"model": "%s", "messages": [{"role": "ROLE_USER", "parts": [{"text": "%s"}]}], "max_output_tokens": 256%s}}' "$1" "$2" "${3:-}"
}

echo '# the models'
curl --silent "$url/v1/models"

printf '\n# a whole answer\n'
post /v1/chat/completions "$(chat 'What is the capital of France?')"

printf '\n# a stream\n'
post /v1/chat/completions "$(chat 'red orange yellow green blue' ', "stream": true')"

echo '# vectors'
post /v1/embeddings "{\"model\": \"$model\", \"input\": [\"one\", \"two\"]}"

printf '\n# a deadline, which the mesh is told\n'
post /v1/chat/completions "$(chat "$count")" --header 'x-hybrid-timeout-ms: 300' --write-out '\nstatus %{http_code}\n'

echo '# a stream that is left after three events; that ends the work behind the mesh, too'
{ post /v1/chat/completions "$(chat "$count" ', "stream": true')" || true; } | head -n 6

echo '# failures: a model that is not there, and (an echo worker told so) one that passes'
post /v1/chat/completions "$(model=no-such-model chat Hello)" --write-out '\nstatus %{http_code}\n'
busy='{"fail": "ACCOUNTING_UNAVAILABLE", "retry_after_ms": 1500}'
post /v1/chat/completions "$(chat Hello ", \"echo\": $busy")" --write-out '\nstatus %{http_code}, retry after %header{retry-after} s\n'

echo '# the typed API: whole, streamed, and its failures'
post /api/v1/generate "$(spec "$model" 'What is the capital of France?')"
echo
post /api/v1/generate:stream "$(spec "$model" 'red orange yellow')"
post /api/v1/generate "$(spec no-such-model Hello)" --write-out '\nstatus %{http_code}\n'
options=${busy//\"/\\\"}
post /api/v1/generate "$(spec "$model" Hello ", \"provider_options_json\": \"{\\\"echo\\\": $options}\"")"
echo
