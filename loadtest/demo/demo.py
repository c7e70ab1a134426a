"""Sends traffic through the official OpenAI SDK and shows from SQL what became of it.

Addresses and keys come from the environment, as dev.env of `make run` sets them.
"""

import os
import time
import urllib.error
import urllib.parse
import urllib.request

import openai

GATEWAY = os.environ.get("TALLYGATE_URL") or "http://" + os.environ.get("TALLYGATE_ADDR", "127.0.0.1:8080")
CLICKHOUSE = os.environ.get("TALLYGATE_CLICKHOUSE_URL") or "http://" + os.environ.get("TALLYGATE_CLICKHOUSE_ADDR", "127.0.0.1:8123") + "/tallygate"


def title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if os.isatty(1) else f"\n{text}\n{'-' * len(text)}", flush=True)


def sql(query: str, show: str = "PrettyCompactMonoBlock") -> str:
    """Runs a query; the path of the URL is the database."""
    url = urllib.parse.urlsplit(CLICKHOUSE)
    settings = urllib.parse.urlencode({
        "database": url.path.strip("/") or "tallygate", "default_format": show, "output_format_pretty_color": 0,
    })
    request = urllib.request.Request(f"{url.scheme}://{url.hostname}:{url.port or 8123}/?{settings}", query.encode())
    if url.username:
        request.add_header("X-ClickHouse-User", urllib.parse.unquote(url.username))
        request.add_header("X-ClickHouse-Key", urllib.parse.unquote(url.password or ""))
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"ClickHouse refuses the query: {error.read().decode()}\n{query}") from error


def client(variable: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key=os.environ[variable], timeout=60)


def ask(who: openai.OpenAI, **options):
    """Calls, and notes the request's id so that the demo shows its own calls only."""
    options = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Name three rivers."}], **options}
    answer = who.chat.completions.with_raw_response.create(**options)
    requests.append(answer.headers["x-request-id"])
    return answer.parse()


requests: list[str] = []


def own() -> str:
    return "request_id IN (" + ", ".join(f"'{r}'" for r in requests) + ")"


def wait_for_rows() -> None:
    """Waits until the audit table has every call and the rollup is computed after them."""
    for _ in range(150):
        have = int(sql(f"SELECT count() FROM requests FINAL WHERE {own()}", "TabSeparated"))
        agree = sql("SELECT (SELECT sum(calls) FROM requests FINAL) = (SELECT sum(calls) FROM rollup_minute FINAL)", "TabSeparated").strip()
        if have == len(requests) and agree == "1":
            return
        time.sleep(0.2)
    raise SystemExit(f"the audit table has {have} of {len(requests)} calls after 30 s; look into the logs of the stack")


def main() -> None:
    main_client, dollar = client("TALLYGATE_API_KEY"), client("TALLYGATE_DEMO_KEY")

    title("1. A call through the official OpenAI SDK")
    answer = ask(main_client)
    print(f"{answer.choices[0].message.content[:100]!r}, {answer.usage.total_tokens} tokens")

    title("2. The same as a stream")
    text = "".join(c.choices[0].delta.content or "" for c in ask(main_client, stream=True) if c.choices)
    print(f"{text[:100]!r}")

    title("3. A key with a budget of 1 dollar, until it is refused")
    served = 0
    try:
        while served < 200:
            ask(dollar, model="gpt-4o", max_tokens=4000, user="sim:tokens=4000")
            served += 1
        print(f"{served} calls were served and none refused; is the budget of this key larger than a dollar?")
    except openai.RateLimitError as error:
        requests.append(error.request_id)
        print(f"{served} calls were served" + (" (an earlier demo has spent the dollar)" if served == 0 else ""))
        print(f"then {type(error).__name__}, code {error.code}: {error.body['message']}")

    wait_for_rows()

    title("4. The audit table: one row per call, the last five of them")
    print(sql(f"""
        SELECT formatDateTime(received_at, '%H:%i:%S') AS at, key, model, stream, outcome, status, input_tokens AS input, output_tokens AS output,
               cost_nanos, rule, rule_used, rule_asked, rule_limit
        FROM requests FINAL WHERE {own()} ORDER BY received_at DESC LIMIT 5"""))

    title("5. The ledger: double entry, for the last two calls that were paid")
    print(sql(f"""
        SELECT request_id, budget, entry, debit, credit, amount_nanos
        FROM ledger_entries FINAL
        WHERE request_id IN (SELECT request_id FROM requests FINAL WHERE {own()} AND cost_nanos > 0 ORDER BY received_at DESC LIMIT 2)
        ORDER BY partition, `offset`, n"""))
    print(sql("SELECT budget, settled_nanos / 1e9 AS settled_usd, held_nanos / 1e9 AS held_usd FROM balances ORDER BY budget"))

    title("6. The rollup: sums per minute")
    print(sql("""
        SELECT minute, key, model, outcome, sum(calls) AS calls, sum(input_tokens + output_tokens) AS tokens, sum(toInt128(cost_nanos)) / 1e9 AS usd
        FROM rollup_minute FINAL WHERE minute >= now() - INTERVAL 15 MINUTE
        GROUP BY ALL HAVING calls > 0 ORDER BY minute, key, outcome"""))

    title("7. Log, audit and ledger agree to the nano-dollar")
    print(sql("""
        SELECT (SELECT sum(toInt128(cost_nanos)) FROM requests FINAL) AS audit_nanos,
               (SELECT sum(toInt128(cost_nanos)) FROM rollup_minute FINAL) AS rollup_nanos,
               (SELECT sum(toInt128(amount_nanos)) FROM ledger_entries FINAL WHERE entry = 'cost') AS ledger_nanos"""))


if __name__ == "__main__":
    main()
