"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const at = (id) => document.getElementById(id);
let record = null;
let shownSince = 0;
let plays = 0;

// A page opened from a disk may be denied storage; then closing it loses the answers, and nothing else.
const storage = {
  name: (rater) => `study-${study.study}-${rater}`,
  read(rater) {
    try { return JSON.parse(localStorage.getItem(this.name(rater))); } catch { return null; }
  },
  write() {
    try { localStorage.setItem(this.name(record.rater), JSON.stringify(record)); } catch { /* see above */ }
  },
};

function start() {
  const rater = Number(at("rater").value);
  if (!Number.isInteger(rater) || rater < 1 || rater > study.sheets.length) {
    at("refused").textContent = `Please enter the number that you were given, 1 to ${study.sheets.length}.`;
    at("refused").hidden = false;
    return;
  }
  record = storage.read(rater) ?? {
    format: "study-answers/1", study: study.study, rater, started: new Date().toISOString(), ended: "",
    screen: [innerWidth, innerHeight], answers: [], comment: "",
  };
  at("welcome").hidden = true;
  show();
}

function show() {
  const sheet = study.sheets[record.rater - 1];
  const done = record.answers.length;
  if (done === sheet.length) return finish();
  const [name, shown] = sheet[done];
  const question = study.questions[name];
  at("trial").hidden = false;
  at("progress").value = done;
  at("count").textContent = `${done + 1} of ${sheet.length}`;
  at("title").textContent = question.title;
  at("text").textContent = question.text;
  at("unplayable").hidden = true;
  at("next").disabled = at("choices").disabled = true;
  at("wait").textContent = shown.length > 1 ? "Play both to the end, then choose:" : "Play it to the end, then choose:";
  showVideos(shown);
  const labels = shown.length > 1 ? [["A", shown[0]], ["B", shown[1]]] : question.levels.map((text, i) => [`${i + 1}  ${text}`, String(i + 1)]).reverse();
  at("levels").replaceChildren(...labels.map(([text, value]) => answer(text, value)));
  shownSince = performance.now();
  plays = 0;
  scrollTo(0, 0);
}

function showVideos(shown) {
  const seen = new Set();
  at("videos").className = shown.length > 1 ? "videos two" : "videos";
  at("videos").replaceChildren(...shown.map((code, index) => {
    const figure = document.createElement("figure");
    const video = document.createElement("video");
    video.src = `media/${code}.mp4`;
    video.controls = video.playsInline = true;
    video.preload = "auto";
    video.addEventListener("play", () => {
      plays += 1;
      for (const other of document.querySelectorAll("video")) if (other !== video) other.pause();
    });
    video.addEventListener("ended", () => {
      seen.add(code);
      if (seen.size === shown.length) at("choices").disabled = false;
    });
    video.addEventListener("error", () => { at("unplayable").hidden = false; });
    figure.append(video);
    if (shown.length > 1) figure.append(Object.assign(document.createElement("figcaption"), { textContent: "AB"[index] }));
    return figure;
  }));
}

function answer(text, value) {
  const label = document.createElement("label");
  label.className = "answer";
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "answer", value });
  input.addEventListener("change", () => { at("next").disabled = false; });
  label.append(input, document.createTextNode(text));
  return label;
}

function take(event) {
  event.preventDefault();
  const chosen = new FormData(at("form")).get("answer");
  if (chosen === null || at("choices").disabled) return;
  const [question, shown] = study.sheets[record.rater - 1][record.answers.length];
  const seconds = Math.round((performance.now() - shownSince) / 100) / 10;
  record.answers.push({ question, shown, answer: shown.length > 1 ? chosen : Number(chosen), seconds, plays });
  storage.write();
  show();
}

function finish() {
  at("trial").hidden = true;
  at("end").hidden = false;
  record.ended = record.ended || new Date().toISOString();
  at("comment").value = record.comment;
  write();
}

function write() {
  record.comment = at("comment").value;
  storage.write();
  at("answers").value = JSON.stringify(record, null, 1);
}

function save() {
  write();
  const address = URL.createObjectURL(new Blob([at("answers").value], { type: "application/json" }));
  const name = `answers-${String(record.rater).padStart(3, "0")}.json`;
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

at("start").addEventListener("click", start);
at("form").addEventListener("submit", take);
at("comment").addEventListener("input", write);
at("save").addEventListener("click", save);
const given = /^#(\d+)$/.exec(location.hash);
if (given) at("rater").value = given[1];
