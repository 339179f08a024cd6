"""The example service of the docs: what it answers, and a model that is replaced meanwhile."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autorec_np import AutoRec, BiasBaseline, load_model, make_ratings, save_model
from autorec_np.serving.archive import ModelFileError

FILE = Path(__file__).parents[2] / "docs" / "example_service.py"
R = make_ratings(n_users=30, n_items=24, n_ratings=330, random_state=0)
USER = int(R.user_ids[np.argmin(np.diff(R.matrix.indptr))])  # who has not rated all
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "n_jobs": 1}


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("example_service", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model():
    return AutoRec(**SMALL, random_state=0).fit(R)


@pytest.fixture
def path(model, tmp_path):
    save_model(model, tmp_path / "model.npz")
    return tmp_path / "model.npz"


class Client:
    """One connection to a server."""

    def __init__(self, port):
        self.connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, url, body=None):
        """Return the status and the answer, in which JSON may hold no NaN or infinity."""
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
        self.connection.request(method, url, content)
        response = self.connection.getresponse()
        answer = json.loads(response.read(), parse_constant=lambda name: pytest.fail(name))
        return response.status, answer


@pytest.fixture
def client(example, path, monkeypatch):
    monkeypatch.setattr(example, "LOOK_SECONDS", 0.0)
    with example.Server(("127.0.0.1", 0), path) as server:
        thread = threading.Thread(target=server.work)
        thread.start()
        client = Client(server.server_port)
        yield client
        client.connection.close()
        server.shutdown()
        thread.join()


def test_a_known_user_gets_the_models_answer(client, model):
    status, answer = client.get(f"/recommend?user={USER}&n=5")
    ids, scores = model.recommend([USER], 5)
    assert status == 200
    assert [one["item"] for one in answer["items"]] == ids[0].tolist()
    assert [one["score"] for one in answer["items"]] == scores[0].tolist()


def test_a_visitor_gets_an_answer_whatever_is_known_of_him(client, model):
    first = int(R.item_ids[0])
    status, answer = client.get("/recommend?n=4", {str(first): 5, "-8": 2})
    assert status == 200
    assert answer["unknown"] == 1
    assert not answer["popular"]
    expected = model.recommend_new({first: 5.0}, n=4)
    assert [one["item"] for one in answer["items"]] == expected.ids.tolist()
    popular = [int(R.item_ids[i]) for i in np.argsort(-model.item_counts_, kind="stable")[:4]]
    for url, body in (("/recommend?n=4", {}), ("/recommend?n=4&user=-5", None)):
        status, answer = client.get(url, body)
        assert (status, answer["popular"]) == (200, True)
        assert [one["item"] for one in answer["items"]] == popular


def test_who_has_rated_all_gets_an_empty_list(client):
    everything = {str(item): 3 for item in R.item_ids}
    assert client.get("/recommend", everything)[1]["items"] == []


@pytest.mark.parametrize("url", ["/predict?user={}&item={}", "/because?user={}&item={}&n=2"])
def test_other_answers(client, url):
    status, answer = client.get(url.format(R.user_ids[0], R.item_ids[0]))
    assert status == 200
    assert answer.keys() <= {"rating", "items"}


def test_similar_items_do_not_hold_the_item(client):
    status, answer = client.get(f"/similar?item={R.item_ids[0]}&n=99")
    assert status == 200
    assert len(answer["items"]) == R.n_items - 1


@pytest.mark.parametrize(
    ("url", "body", "status", "message"),
    [
        ("/", None, 404, "/ is none of /recommend"),
        ("/predict?user=1", None, 400, "the request lacks 'item'"),
        ("/similar?item=x", None, 400, "invalid literal"),
        ("/similar?item=-3", None, 400, "not in the training ratings"),
        ("/recommend?n=0", {}, 400, "n must be at least 1"),
        ("/recommend", {"1": "many"}, 400, "could not convert"),
        ("/recommend", [1], 400, "no attribute"),
        ("/recommend", {"1": 99}, 400, "outside the stated scale"),
    ],
)
def test_what_a_client_gets_wrong_is_told(client, url, body, status, message):
    found = client.get(url, body)
    assert found[0] == status
    assert message in found[1]["error"]


def test_a_model_that_is_replaced_is_served_and_what_is_no_model_is_not(
    client, example, model, path, tmp_path, capsys
):
    save_model(AutoRec(**SMALL, random_state=7).fit(R), tmp_path / "new.npz")
    mapped = load_model(path, AutoRec, memory_map=True)
    before = mapped.predict(R.user_ids[:9], R.item_ids[:9])
    example.replace_model(tmp_path / "new.npz", path)
    assert "random_state=7" in client.get("/health")[1]["model"]
    np.testing.assert_array_equal(mapped.predict(R.user_ids[:9], R.item_ids[:9]), before)
    path.with_name("broken").write_text("nothing")
    with pytest.raises(ModelFileError):
        example.replace_model(path.with_name("broken"), path)
    os.replace(path.with_name("broken"), path)
    assert "random_state=7" in client.get("/health")[1]["model"]
    assert "the last model is served on" in capsys.readouterr().err


def test_a_night_is_taken_in(client, example, path):
    columns = {"user": [30_001], "item": R.item_ids[:1], "rating": [4.0]}
    example.nightly(path, pd.DataFrame(columns).iloc[:0])
    assert client.get("/health")[1]["ratings"] == len(R)
    example.nightly(path, pd.DataFrame(columns))
    assert client.get("/health")[1]["ratings"] == len(R) + 1
    assert not client.get("/recommend?user=30001")[1]["popular"]


def test_only_an_autorec_is_served(example, tmp_path):
    save_model(BiasBaseline().fit(R), tmp_path / "model.npz")
    with pytest.raises(ModelFileError, match="holds a BiasBaseline where AutoRec is expected"):
        example.CurrentModel(tmp_path / "model.npz")


@contextmanager
def running(path, workers):
    """Run the command; yield its port."""
    command = [sys.executable, "-W", "error", str(FILE), str(path), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(re.fullmatch(r"serving .*:(\d+)\n", process.stdout.readline())[1])
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_workers_answer_while_the_model_is_replaced_again_and_again(path, tmp_path):
    """Every answer is that of one of the models, and no request fails."""
    models = [AutoRec(**SMALL, random_state=seed).fit(R) for seed in (0, 1)]
    right = [one.recommend([USER], 5)[1][0].tolist() for one in models]
    ended = threading.Event()

    def ask(port):
        client, answers = Client(port), []
        while not ended.is_set():
            status, answer = client.get(f"/recommend?user={USER}&n=5")
            assert status == 200
            answers.append([one["score"] for one in answer["items"]])
        client.connection.close()
        return answers

    with running(path, workers=2) as port, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, port) for _ in range(4)]
        try:
            for number in range(8):
                save_model(models[number % 2], path)
                time.sleep(0.3)
        finally:
            ended.set()
        answers = [answer for one in asking for answer in one.result()]
    assert len(answers) > 20
    assert all(any(np.allclose(answer, one) for one in right) for answer in answers)
    assert all(any(np.allclose(answer, one) for answer in answers) for one in right)
