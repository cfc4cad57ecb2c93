"""Clients that others generate from the published contract score an order at the running service."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.serving.http.conftest import Shop, order_body
from tests.serving.http.published_contract import CONTRACT

CLIENT = "generated_bonitas_client"
TYPESCRIPT = """\
import createClient from "openapi-fetch";
import type { paths, components } from "./contract.js";

const [url, key, sent] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
const body: components["schemas"]["Order"] = JSON.parse(sent);
const { data, error } = await client.POST("/v1/score", { body });
if (data === undefined) throw new Error(JSON.stringify(error));
const outcome: components["schemas"]["Outcome"] = data.outcome;
const refused = await client.POST("/v1/score", { body: { ...body, amount_cents: -1 } });
console.log(JSON.stringify({ outcome, problem: refused.error }));
"""


@pytest.fixture(scope="module")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_text(json.dumps(CONTRACT))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
    subprocess.run(
        [*command, "--path", document, "--output-path", folder / CLIENT, "--meta", "none"],
        check=True,
        capture_output=True,
        # It formats what it wrote with ruff, which lies beside the interpreter.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(CLIENT)
    finally:
        sys.path.remove(str(folder))


def in_client(name: str) -> Any:
    return importlib.import_module(f"{CLIENT}.{name}")


def test_every_operation_of_the_generated_client_can_be_imported(python_client: ModuleType) -> None:
    assert python_client.AuthenticatedClient
    for operations in CONTRACT["paths"].values():
        for operation in operations.values():
            name = "".join(
                f"_{letter.lower()}" if letter.isupper() else letter for letter in operation["operationId"]
            )
            assert in_client(f"api.default.{name}").sync_detailed


def test_the_generated_client_scores_an_order_and_tells_problems_by_their_type(
    shop: Shop, python_client: ModuleType
) -> None:
    shop.customer("generated")
    models, score = in_client("models"), in_client("api.default.score")
    order = models.Order.from_dict(order_body("o-generated", "generated"))
    with python_client.AuthenticatedClient(base_url=shop.server.url, token=shop.checkout_key) as client:
        answer = score.sync(client=client, body=order, idempotency_key="generated-1")
        assert isinstance(answer, models.DecisionAnswer)
        assert answer.outcome is models.Outcome.APPROVED
        assert score.sync(client=client, body=order, idempotency_key="generated-1") == answer
        order.amount_cents = 6_000
        reused = score.sync(client=client, body=order, idempotency_key="generated-1")
        assert isinstance(reused, models.IdempotencyKeyReusedProblem)
        order.amount_cents = -1
        assert isinstance(score.sync(client=client, body=order), models.InvalidBodyProblem)
    unknown = "nobody-has-it"
    with python_client.AuthenticatedClient(base_url=shop.server.url, token=unknown) as nobody:
        assert isinstance(score.sync(client=nobody, body=order), models.UnauthenticatedProblem)


def test_the_generated_client_tells_what_a_merchant_s_key_sees(shop: Shop, python_client: ModuleType) -> None:
    shop.customer("generated-m")
    models = in_client("models")
    body = {**order_body("x", "generated-m"), "merchant_order_number": "M-1"}
    del body["order_id"]
    with python_client.AuthenticatedClient(base_url=shop.server.url, token=shop.merchant_key) as client:
        answer = in_client("api.default.score").sync(client=client, body=models.Order.from_dict(body))
        assert isinstance(answer, models.MerchantDecisionAnswer)
        state = in_client("api.default.order").sync("M-1", client=client)
        assert isinstance(state, models.MerchantOrderState)


@pytest.mark.node
def test_a_typescript_client_compiles_and_scores_an_order(shop: Shop, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("there is no node here: no TypeScript client was generated")
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    (tmp_path / "openapi.json").write_text(json.dumps(CONTRACT))
    (tmp_path / "score.ts").write_text(TYPESCRIPT)
    packages = ["openapi-typescript@7", "openapi-fetch@0", "typescript@5", "@types/node@20"]
    fetched = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        pytest.skip(f"npm could not fetch {', '.join(packages)}: {fetched.stderr[-300:]}")
    bin_folder = tmp_path / "node_modules" / ".bin"
    compiled = [
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--strict",
        "--skipLibCheck",
        "--noEmitOnError",
        "score.ts",
    ]
    for command in (
        [bin_folder / "openapi-typescript", "openapi.json", "-o", "contract.d.ts"],
        [bin_folder / "tsc", *compiled],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    shop.customer("typescript")
    order = json.dumps(order_body("o-typescript", "typescript"))
    told = subprocess.run(
        [node, "score.js", shop.server.url, shop.checkout_key, order],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    assert answer["outcome"] == "approved"
    assert answer["problem"]["type"] == "urn:bonitas:problem:invalid-body"
