"""A real HTTP server on loopback that answers as an OpenAI-compatible one does, from a real model or a script."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cai.records import Message


class Loopback:
    """`script` holds what the next posts get instead of an answer: (status, headers, body as bytes)."""

    def __init__(self):
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, dict, dict]] = []
        self.answer = lambda path, body: chat_answer("fine")
        self.models = [{"id": "tiny", "object": "model", "root": "somewhere/tiny"}]
        self.lock = threading.Lock()
        self.busy = self.busiest = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def bodies(self, end: str = "/completions") -> list[dict]:
        return [body for path, body, _ in self.requests if path.endswith(end)]

    def _handler(outer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._send(200, {}, json.dumps({"object": "list", "data": outer.models}).encode())

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer.lock:
                    outer.requests.append(
                        (self.path, body, {name.lower(): value for name, value in self.headers.items()})
                    )
                    outer.busy += 1
                    outer.busiest = max(outer.busiest, outer.busy)
                    scripted = outer.script.pop(0) if outer.script else None
                try:
                    if scripted is None:
                        answer = outer.answer(self.path, body)
                        status = 400 if "error" in answer else 200
                        scripted = (status, {}, json.dumps(answer).encode())
                finally:
                    with outer.lock:
                        outer.busy -= 1
                self._send(*scripted)

            def _send(self, status, headers, data):
                self.send_response(status)
                for name, value in {
                    "content-type": "application/json",
                    "content-length": str(len(data)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        return Handler


def chat_answer(text: str, finish_reason: str = "stop", **more) -> dict:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason, **more}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


class TinyServer:
    """Answers as vLLM does, from the tiny model: it continues a turn when told to, and gives log-probabilities.

    `by_id`: it has `/tokenize` and takes `logprob_token_ids`. `continues`: else the flags are ignored.
    """

    def __init__(self, engine, by_id=True, continues=True, logprobs=True):
        self.engine, self.by_id, self.continues, self.logprobs = engine, by_id, continues, logprobs
        self.lock = threading.Lock()

    def __call__(self, path, body):
        with self.lock:
            if path.endswith("/tokenize"):
                return {"tokens": self._ids(body)} if self.by_id else {"error": {"message": "no such path"}}
            return self._completed(path, body)

    def _ids(self, body):
        chat = self.engine.chat
        if "prompt" in body:
            return chat.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
        messages = [Message(turn["role"], turn["content"]) for turn in body["messages"]]
        if body.get("continue_final_message") and self.continues:
            return chat.encode(messages[:-1], messages[-1].content)
        return chat.encode(messages)

    def _completed(self, path, body):
        import torch

        ids = self._ids(body)
        prompt = len(ids)
        model, tokenizer = self.engine._loaded.model, self.engine.chat.tokenizer
        first = None
        with torch.inference_mode():
            for _ in range(body["max_tokens"]):
                logprobs = model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
                first = logprobs if first is None else first
                ids = [*ids, int(logprobs.argmax())]
        text = tokenizer.decode(ids[prompt:], skip_special_tokens=True)
        reply = chat_answer(text, "length")
        reply["usage"] = {"prompt_tokens": prompt, "completion_tokens": len(ids) - prompt}
        choice = reply["choices"][0]
        named = body.get("logprob_token_ids")
        top = body.get("top_logprobs") or (body.get("logprobs") if "prompt" in body else 0) or 0
        picked = named or first.topk(top).indices.tolist()
        show = (lambda one: f"token_id:{one}") if named else (lambda one: tokenizer.decode([one]))
        if "prompt" in body:
            del choice["message"]
            choice["text"] = text
            if self.logprobs and top:
                choice["logprobs"] = {"top_logprobs": [{show(one): float(first[one]) for one in picked}]}
        elif body.get("logprobs") and self.logprobs:
            best = int(first.argmax())
            rows = [{"token": show(one), "logprob": float(first[one])} for one in picked]
            choice["logprobs"] = {
                "content": [{"token": show(best), "logprob": float(first[best]), "top_logprobs": rows}]
            }
        return reply
