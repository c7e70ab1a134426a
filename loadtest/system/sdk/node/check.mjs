// Calls the gateway with the official OpenAI SDK for Node and prints a JSON line
// for each case. Addresses and keys come from the environment; see ../README.md.

import { createRequire } from "node:module";

// The SDK is installed outside the source tree.
const require = createRequire(process.env.SDK_HOME + "/");
const { OpenAI } = require("openai");

const env = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`the variable ${name} is not set`);
  return value;
};

const client = (apiKey, options = {}) =>
  new OpenAI({ apiKey, baseURL: env("TALLYGATE_BASE_URL"), maxRetries: 0, timeout: 20_000, ...options });

const model = "gpt-5-mini";
const messages = [{ role: "user", content: "Name three rivers." }];
const main = client(env("KEY_MAIN"));

const assert = (condition, text) => {
  if (!condition) throw new Error(text);
};

// raises runs a call and checks what the SDK made of the refusal.
async function raises(call, want) {
  let error;
  try {
    await call();
  } catch (e) {
    error = e;
  }
  assert(error, "the call was not refused");
  assert(error instanceof want.kind, `got ${error.constructor.name}; want ${want.kind.name}: ${error.message}`);
  assert(error.status === want.status, `got status ${error.status}; want ${want.status}: ${error.message}`);
  if (want.code) assert(error.code === want.code, `got code ${error.code}; want ${want.code}`);
  if (want.param) assert(error.param === want.param, `got param ${error.param}; want ${want.param}`);
  if (want.type) assert(error.type === want.type, `got type ${error.type}; want ${want.type}`);
  for (const [name, value] of Object.entries(want.headers ?? {})) {
    const got = error.headers.get(name);
    assert(got === value, `got header ${name}: ${got}; want ${value}`);
  }
  assert(error.requestID, "the error has no request id");
  assert(error.message, "the error has no message");
  return error;
}

const fails = (directives) => main.chat.completions.create({ model, messages, user: "sim:" + directives });

const cases = {
  async chat() {
    const answer = await main.chat.completions.create({ model, messages });
    assert(answer.object === "chat.completion", `got object ${answer.object}`);
    assert(answer.choices[0].message.content.length > 0, "the answer is empty");
    assert(answer.choices[0].finish_reason === "stop", `got finish_reason ${answer.choices[0].finish_reason}`);
    assert(answer.usage.total_tokens === answer.usage.prompt_tokens + answer.usage.completion_tokens, "usage does not add up");
    assert(answer._request_id, "the answer has no request id");
  },
  async stream_without_usage() {
    const stream = await main.chat.completions.create({ model, messages, stream: true });
    let text = "";
    let finish;
    for await (const chunk of stream) {
      assert(chunk.choices.length > 0, "a chunk without choices came, though usage was not asked for");
      assert(!("usage" in chunk), "a chunk has usage, though it was not asked for");
      text += chunk.choices[0].delta.content ?? "";
      finish = chunk.choices[0].finish_reason ?? finish;
    }
    assert(text.length > 0, "the stream is empty");
    assert(finish === "stop", `got finish_reason ${finish}`);
  },
  async stream_with_usage() {
    const plain = await main.chat.completions.create({ model, messages });
    const stream = await main.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
    let text = "";
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert(usage, "no usage came");
    assert(text === plain.choices[0].message.content, "the streamed text is not that of the plain answer");
    assert(usage.total_tokens === plain.usage.total_tokens, `got ${usage.total_tokens} tokens; want ${plain.usage.total_tokens}`);
  },
  async stream_helper() {
    const runner = main.chat.completions.stream({ model, messages });
    const text = await runner.finalContent();
    assert(text.length > 0, "the stream is empty");
  },
  async stream_stopped_by_the_client() {
    const stream = await main.chat.completions.create({ model, messages, stream: true, user: "sim:tokens=2000,gap=2ms" });
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 3) break;
    assert(chunks === 3, `got ${chunks} chunks`);
  },
  async models() {
    const ids = [];
    for await (const m of await main.models.list()) ids.push(m.id);
    assert(ids.includes(model), `got models ${ids}`);
    const one = await main.models.retrieve(model);
    assert(one.id === model && one.object === "model", `got ${JSON.stringify(one)}`);
  },
  bad_request_400: () =>
    raises(() => main.chat.completions.create({ model, messages: [] }),
      { kind: OpenAI.BadRequestError, status: 400, type: "invalid_request_error", param: "messages" }),
  bad_request_of_the_provider_400: () =>
    raises(() => fails("error,status=400"), { kind: OpenAI.BadRequestError, status: 400, code: "upstream_invalid_request" }),
  wrong_key_401: () =>
    raises(() => client("sk-not-one-of-ours").chat.completions.create({ model, messages }),
      { kind: OpenAI.AuthenticationError, status: 401, code: "invalid_api_key" }),
  unknown_model_404: () =>
    raises(() => main.chat.completions.create({ model: "no-such-model", messages }),
      { kind: OpenAI.NotFoundError, status: 404, code: "model_not_found", param: "model" }),
  unknown_path_404: () => raises(() => main.get("/no/such/path"), { kind: OpenAI.NotFoundError, status: 404, code: "route_not_found" }),
  body_too_large_413: () =>
    raises(() => main.chat.completions.create({ model, messages: [{ role: "user", content: "x".repeat(3 << 20) }] }),
      { kind: OpenAI.APIError, status: 413, code: "request_too_large" }),
  budget_429: async () => {
    const spender = client(env("KEY_PENNILESS"));
    await raises(() => spender.chat.completions.create({ model, messages }),
      { kind: OpenAI.RateLimitError, status: 429, code: "insufficient_quota", type: "insufficient_quota", headers: { "x-should-retry": "false" } });
  },
  budget_429_is_not_retried: async () => {
    const started = Date.now();
    await raises(() => client(env("KEY_PENNILESS"), { maxRetries: 8 }).chat.completions.create({ model, messages }),
      { kind: OpenAI.RateLimitError, status: 429 });
    assert(Date.now() - started < 400, "the SDK tried again, though no try can help");
  },
  rate_limit_429: async () => {
    const hurried = client(env("KEY_HURRIED_NODE"));
    await hurried.chat.completions.create({ model, messages });
    const error = await raises(() => hurried.chat.completions.create({ model, messages }),
      { kind: OpenAI.RateLimitError, status: 429, code: "rate_limit_exceeded" });
    assert(Number(error.headers.get("retry-after")) > 0, "there is no Retry-After");
  },
  rate_limit_of_the_provider_429: () =>
    raises(() => fails("error,status=429,retry_after=2s"),
      { kind: OpenAI.RateLimitError, status: 429, code: "upstream_rate_limited", headers: { "retry-after": "2" } }),
  provider_failed_5xx: () => raises(() => fails("error,status=500"), { kind: OpenAI.InternalServerError, status: 502, code: "upstream_error" }),
  provider_refused_us_5xx: () =>
    raises(() => fails("error,status=401"), { kind: OpenAI.InternalServerError, status: 502, code: "upstream_auth_error" }),
  provider_garbage_5xx: () => raises(() => fails("garbage"), { kind: OpenAI.InternalServerError, status: 502, code: "upstream_error" }),
  provider_silent_5xx: () => raises(() => fails("hang"), { kind: OpenAI.InternalServerError, status: 504, code: "upstream_timeout" }),
  async stream_broken_by_the_provider() {
    const stream = await main.chat.completions.create({ model, messages, stream: true, user: "sim:break,tokens=20" });
    let error;
    try {
      for await (const _ of stream);
    } catch (e) {
      error = e;
    }
    assert(error instanceof OpenAI.APIError, `got ${error?.constructor.name}; want APIError`);
  },
  async not_served_yet_501() {
    await raises(() => main.responses.create({ model, input: "x" }), { kind: OpenAI.InternalServerError, status: 501, code: "not_implemented" });
  },
};

for (const [name, run] of Object.entries(cases)) {
  let line = { case: name, ok: true, detail: "" };
  try {
    await run();
  } catch (e) {
    line = { case: name, ok: false, detail: String(e?.stack ?? e) };
  }
  console.log(JSON.stringify(line));
}
