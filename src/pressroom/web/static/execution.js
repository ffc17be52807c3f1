// Follows an execution by Server-Sent Events. Without it the page is loaded again now and then.
"use strict";

(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const part = (name) => live.querySelector(`[data-part=${name}]`);
  const cells = part("cells"), output = part("output"), progress = part("progress"), count = part("count");
  const now = part("now"), line = part("line"), since = part("since"), words = part("status");
  const most = 200000;
  let attempt = Number(live.dataset.attempt), done = Number(live.dataset.done), total = Number(live.dataset.total);
  // Counted here, since a browser would put the whole text together to tell.
  let length = output.textContent.length;

  const icon = (state) => document.getElementById(`icon-${state}`).content.cloneNode(true);

  const show = (number, state, text, seconds) => {
    let item = cells.querySelector(`[data-cell="${number}"]`);
    if (!item) {
      item = document.createElement("li");
      item.dataset.cell = number;
      for (const tag of ["span", "span", "code", "span"]) item.append(document.createElement(tag));
      item.children[1].textContent = number;
      item.children[1].className = item.children[3].className = "muted";
      cells.append(item);
    }
    item.className = `cell cell-${state}`;
    item.children[0].replaceChildren(icon(state));
    if (text) item.children[2].textContent = text;
    item.children[3].textContent = seconds === undefined ? "" : `${seconds.toFixed(1)} s`;
    if (state === "running") cells.scrollTop = cells.scrollHeight;
  };

  const tell = () => {
    progress.max = total || 1;
    progress.value = done;
    count.textContent = total ? `${done} of ${total} cells` : "The kernel starts";
  };

  const again = (number) => {
    attempt = number;
    done = length = 0;
    cells.replaceChildren();
    output.textContent = "";
    now.hidden = true;
    tell();
  };

  const source = new EventSource(live.dataset.events);
  const on = (kind, handle) => source.addEventListener(kind, (event) => {
    const told = JSON.parse(event.data);
    if (told.attempt > attempt) again(told.attempt);
    // Of an attempt that is over, the page shows nothing any more; it is told of it where the new one has told nothing yet.
    if (told.attempt === attempt) handle(told);
  });

  // A stream that was refused is not asked for again by the browser: the session has ended, or the execution has. The page
  // says which, as often as it is loaded without scripts.
  let lost;
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
    else lost ??= setTimeout(() => { words.textContent = "The service is not reached; it is tried again"; }, 3000);
  });
  source.addEventListener("open", () => {
    clearTimeout(lost);
    lost = undefined;
    say();
  });

  let status = live.dataset.status, stopping = live.dataset.stopping === "true";
  const say = () => {
    const waits = attempt ? "Waiting to be tried again" : "Waiting for a worker";
    words.textContent = status === "pending" ? waits : stopping ? "Stopping" : "Running";
  };
  on("execution", (told) => {
    total = told.cells_total || total;
    if (["success", "failed", "cancelled"].includes(told.status)) {
      source.close();
      location.replace(location.pathname);
      return;
    }
    // What stands above says the same, with the time that it began.
    if (told.status !== status) htmx.ajax("GET", location.href, { target: "#facts", select: "#facts", swap: "outerHTML" });
    status = told.status;
    stopping = Boolean(told.cancel_requested_at);
    say();
  });
  on("started", (told) => { total = told.cells; done = 0; tell(); });
  on("cell_started", (told) => {
    show(told.number, "running", told.line);
    now.hidden = false;
    line.textContent = told.line || `cell ${told.number}`;
    since.dataset.since = told.at;
    since.textContent = "";
  });
  on("cell_finished", (told) => {
    done = told.number;
    show(told.number, told.failed ? "failed" : "done", told.line, told.seconds);
    now.hidden = true;
    tell();
  });
  on("output", (told) => {
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
    const text = told.text.replace(/\u001b\[[0-9;]*m/g, "") + (told.stream === "result" && !told.text.endsWith("\n") ? "\n" : "");
    output.append(text);
    length += text.length;
    if (length > most) {
      output.textContent = output.textContent.slice(-most / 2);
      length = output.textContent.length;
    }
    if (atEnd) output.scrollTop = output.scrollHeight;
  });
})();
