"""Calls the gateway with the official OpenAI SDK for Python.

Prints a JSON line for each case. Addresses and keys come from the environment;
see ../README.md.
"""

import json
import os
import time
import traceback

import openai

MODEL = "gpt-5-mini"
MESSAGES = [{"role": "user", "content": "Name three rivers."}]


def client(key: str, **options) -> openai.OpenAI:
    return openai.OpenAI(**{"api_key": key, "base_url": os.environ["TALLYGATE_BASE_URL"], "max_retries": 0, "timeout": 20, **options})


main = client(os.environ["KEY_MAIN"])


def raises(call, kind, status, code=None, param=None, type_=None, headers=None):
    """Runs a call and checks what the SDK made of the refusal."""
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind, f"got {type(error).__name__}; want {kind.__name__}: {error}"
        assert error.status_code == status, f"got status {error.status_code}; want {status}: {error}"
        for name, want in (("code", code), ("param", param), ("type", type_)):
            got = getattr(error, name)
            assert want is None or got == want, f"got {name} {got!r}; want {want!r}"
        for name, want in (headers or {}).items():
            got = error.response.headers.get(name)
            assert got == want, f"got header {name}: {got!r}; want {want!r}"
        assert error.request_id, "the error has no request id"
        return error
    raise AssertionError("the call was not refused")


def ask(who=main, **options):
    return who.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **options})


def chat():
    answer = ask()
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def stream_without_usage():
    text = ""
    for chunk in ask(stream=True):
        assert chunk.choices, "a chunk without choices came, though usage was not asked for"
        assert chunk.usage is None, "a chunk has usage, though it was not asked for"
        text += chunk.choices[0].delta.content or ""
    assert text


def stream_with_usage():
    plain = ask()
    text, usage = "", None
    for chunk in ask(stream=True, stream_options={"include_usage": True}):
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        usage = chunk.usage or usage
    assert text == plain.choices[0].message.content, "the streamed text is not that of the plain answer"
    assert usage and usage.total_tokens == plain.usage.total_tokens, f"got {usage}; want {plain.usage}"


def stream_stopped_by_the_client():
    with ask(stream=True, user="sim:tokens=2000,gap=2ms") as stream:
        for n, _ in enumerate(stream):
            if n == 3:
                break


def models():
    assert MODEL in [m.id for m in main.models.list()]
    assert main.models.retrieve(MODEL).id == MODEL


def bad_request_400():
    raises(lambda: ask(messages=[]), openai.BadRequestError, 400, param="messages", type_="invalid_request_error")


def bad_request_of_the_provider_400():
    raises(lambda: ask(user="sim:error,status=400"), openai.BadRequestError, 400, code="upstream_invalid_request")


def wrong_key_401():
    raises(lambda: ask(client("sk-not-one-of-ours")), openai.AuthenticationError, 401, code="invalid_api_key")


def unknown_model_404():
    raises(lambda: ask(model="no-such-model"), openai.NotFoundError, 404, code="model_not_found", param="model")


def body_too_large_413():
    raises(lambda: ask(messages=[{"role": "user", "content": "x" * (3 << 20)}]), openai.APIStatusError, 413, code="request_too_large")


def budget_429():
    raises(lambda: ask(client(os.environ["KEY_PENNILESS"])), openai.RateLimitError, 429, code="insufficient_quota",
           type_="insufficient_quota", headers={"x-should-retry": "false"})


def budget_429_is_not_retried():
    started = time.monotonic()
    raises(lambda: ask(client(os.environ["KEY_PENNILESS"], max_retries=8)), openai.RateLimitError, 429)
    assert time.monotonic() - started < 0.4, "the SDK tried again, though no try can help"


def rate_limit_429():
    hurried = client(os.environ["KEY_HURRIED_PYTHON"])
    ask(hurried)
    error = raises(lambda: ask(hurried), openai.RateLimitError, 429, code="rate_limit_exceeded")
    assert int(error.response.headers["retry-after"]) > 0


def rate_limit_of_the_provider_429():
    raises(lambda: ask(user="sim:error,status=429,retry_after=2s"), openai.RateLimitError, 429,
           code="upstream_rate_limited", headers={"retry-after": "2"})


def provider_failed_5xx():
    raises(lambda: ask(user="sim:error,status=500"), openai.InternalServerError, 502, code="upstream_error")


def provider_refused_us_5xx():
    raises(lambda: ask(user="sim:error,status=401"), openai.InternalServerError, 502, code="upstream_auth_error")


def provider_garbage_5xx():
    raises(lambda: ask(user="sim:garbage"), openai.InternalServerError, 502, code="upstream_error")


def provider_silent_5xx():
    raises(lambda: ask(user="sim:hang"), openai.InternalServerError, 504, code="upstream_timeout")


def stream_broken_by_the_provider():
    try:
        for _ in ask(stream=True, user="sim:break,tokens=20"):
            pass
    except openai.APIError:
        return
    raise AssertionError("the broken stream raised no error")


def not_served_yet_501():
    raises(lambda: main.responses.create(model=MODEL, input="x"), openai.InternalServerError, 501, code="not_implemented")


CASES = [
    chat, stream_without_usage, stream_with_usage, stream_stopped_by_the_client, models,
    bad_request_400, bad_request_of_the_provider_400, wrong_key_401, unknown_model_404, body_too_large_413,
    budget_429, budget_429_is_not_retried, rate_limit_429, rate_limit_of_the_provider_429,
    provider_failed_5xx, provider_refused_us_5xx, provider_garbage_5xx, provider_silent_5xx,
    stream_broken_by_the_provider, not_served_yet_501,
]

for case in CASES:
    line = {"case": case.__name__, "ok": True, "detail": ""}
    try:
        case()
    except Exception:  # every failure of a case is its result
        line |= {"ok": False, "detail": traceback.format_exc()}
    print(json.dumps(line), flush=True)
