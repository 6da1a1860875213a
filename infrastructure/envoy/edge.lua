-- The outermost response filter of the OpenAI face: it gives every answer its HTTP status and every error OpenAI's shape.
--
-- The gateway ends each call with gRPC OK and names another HTTP status in the header `x-http-status`. A gRPC error that
-- still gets here comes from gRPC itself (an unknown method, a message over its limit, a gateway on its way down) and has
-- no body: it is given one. The table is that of services/chassis/register.py; a test holds the two together.

-- gRPC code -> { HTTP status, OpenAI's type, OpenAI's code, whether SDKs are told not to try again }
local ERRORS = {
  ["1"] = { 499, "server_error", "cancelled" },
  ["2"] = { 500, "server_error", "internal_error" },
  ["3"] = { 400, "invalid_request_error", "invalid_request" },
  ["4"] = { 504, "timeout_error", "timeout", true },
  ["5"] = { 404, "invalid_request_error", "not_found" },
  ["6"] = { 409, "invalid_request_error", "conflict", true },
  ["7"] = { 403, "permission_error", "permission_denied" },
  ["8"] = { 429, "rate_limit_error", "rate_limit_exceeded" },
  ["9"] = { 400, "invalid_request_error", "failed_precondition" },
  ["10"] = { 409, "invalid_request_error", "conflict", true },
  ["11"] = { 400, "invalid_request_error", "out_of_range" },
  ["12"] = { 501, "invalid_request_error", "unimplemented", true },
  ["13"] = { 500, "server_error", "internal_error" },
  ["14"] = { 503, "service_unavailable_error", "service_unavailable" },
  ["15"] = { 500, "server_error", "internal_error", true },
  ["16"] = { 401, "authentication_error", "invalid_api_key" },
}

-- gRPC answers RESOURCE_EXHAUSTED to what is too large. As 429 it would be tried again, and never pass.
local TOO_LARGE = {
  { "larger than max", { 413, "invalid_request_error", "request_too_large" }, "Request body is too large." },
  { "metadata size", { 431, "invalid_request_error", "headers_too_large" }, "Request headers are too large." },
}

local SHORT = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function json_string(text)
  local escaped = text:gsub('[%c"\\]', function(char)
    return SHORT[char] or string.format("\\u%04x", char:byte())
  end)
  return '"' .. escaped .. '"'
end

local function percent_decoded(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

local function error_of(code, message)
  if code == "8" then
    for _, case in ipairs(TOO_LARGE) do
      if message:find(case[1], 1, true) then
        return case[2], case[3]
      end
    end
  end
  if message == "" then
    message = "The server had an error while processing your request."
  end
  return ERRORS[code] or ERRORS["2"], message
end

local function shape_error(handle, headers, code)
  local error, message = error_of(code, percent_decoded(headers:get("grpc-message") or ""))
  local body = '{"error":{"message":' .. json_string(message) .. ',"type":"' .. error[2]
    .. '","param":null,"code":"' .. error[3] .. '"}}'
  handle:body(true):setBytes(body)
  headers:replace(":status", tostring(error[1]))
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(#body))
  if error[1] == 503 and not headers:get("retry-after") then
    headers:add("retry-after", "1")
  end
  if error[4] then
    headers:replace("x-should-retry", "false")
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-http-status")
  local code = headers:get("grpc-status")
  if status then
    if status:match("^[2-5]%d%d$") then
      headers:replace(":status", status)
    end
    headers:remove("x-http-status")
  elseif code and code ~= "0" then
    shape_error(handle, headers, code)
  end
  -- `grpc-status` stays: the access log reads it.
  headers:remove("grpc-message")
  headers:remove("grpc-status-details-bin")
  headers:remove("grpc-accept-encoding")
  headers:remove("grpc-encoding")
end
