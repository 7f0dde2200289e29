import hashlib
import http.server
import threading

import pytest

from corpora.tracker import TrackerError
from corpora.tracker_model import MODEL_URL, MODEL_VARIABLE, cache_folder, fetch_model, find_tracker_model

CONTENT = b"a model of some kind" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:700] if self.path == "/short" else CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(url, destination, sha256=SHA256):
    fetch_model(url, destination, sha256=sha256, max_bytes=len(CONTENT), timeout_s=5)


def test_right_content_is_kept_whole(address, tmp_path):
    destination = tmp_path / "new" / "model.task"
    fetch(f"{address}/model", destination)
    assert destination.read_bytes() == CONTENT
    assert list(destination.parent.iterdir()) == [destination]


@pytest.mark.parametrize("page", ["absent", "short"])
def test_failed_fetch_says_what_to_do_and_keeps_nothing(address, tmp_path, page):
    with pytest.raises(TrackerError, match="--tracker-model FILE") as error:
        fetch(f"{address}/{page}", tmp_path / "model.task")
    assert MODEL_URL in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_other_content_is_refused(address, tmp_path):
    with pytest.raises(TrackerError, match="not the expected tracker model"):
        fetch(f"{address}/model", tmp_path / "model.task", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_server_is_one_sentence(tmp_path):
    with pytest.raises(TrackerError, match="cannot be fetched") as error:
        fetch("http://127.0.0.1:9/model", tmp_path / "model.task")
    assert "\n" not in str(error.value)


def test_given_file_comes_before_the_variable_and_the_cache(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("given.task", "variable.task")]
    for file in files:
        file.write_bytes(CONTENT)
    monkeypatch.setenv(MODEL_VARIABLE, str(files[1]))
    assert find_tracker_model(files[0]) == files[0].resolve()
    assert find_tracker_model() == files[1].resolve()
    monkeypatch.delenv(MODEL_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached = cache_folder() / "face_landmarker.task"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert find_tracker_model() == cached


def test_named_file_that_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(TrackerError, match=r"--tracker-model names .*absent\.task"):
        find_tracker_model(tmp_path / "absent.task")
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "elsewhere.task"))
    with pytest.raises(TrackerError, match=rf"\${MODEL_VARIABLE} names .*elsewhere\.task"):
        find_tracker_model()
