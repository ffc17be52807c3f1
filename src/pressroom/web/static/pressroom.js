// What makes pages more comfortable. Each works without it.
"use strict";

(() => {
  const minute = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };

  /** Times in the reader's own zone; UTC stays as the text on hover. */
  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
      const moment = new Date(time.dateTime);
      const year = moment.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
      const second = "seconds" in time.dataset ? { second: "2-digit" } : {};
      const weekday = "weekday" in time.dataset ? { weekday: "short" } : {};
      time.title = time.textContent.trim();
      time.textContent = moment.toLocaleString(undefined, { ...minute, ...year, ...second, ...weekday });
    }
  };

  /** A slider beside a number: each follows the other. */
  const sliders = (root) => {
    for (const slider of root.querySelectorAll("input.slider[hidden]")) {
      const number = document.getElementById(slider.dataset.for);
      const follow = () => {
        if (number.value !== "" && !Number.isNaN(Number(number.value))) slider.value = number.value;
      };
      slider.addEventListener("input", () => {
        number.value = slider.value;
        number.dispatchEvent(new Event("input", { bubbles: true }));
      });
      number.addEventListener("input", follow);
      slider.hidden = false;
      follow();
    }
  };

  /** Whether what is typed is JSON, said while it is typed. */
  const json = (root) => {
    for (const area of root.querySelectorAll("textarea[data-json]")) {
      const said = document.getElementById(area.dataset.json);
      area.addEventListener("input", () => {
        try {
          if (area.value.trim()) JSON.parse(area.value);
          said.textContent = "";
        } catch (error) {
          said.textContent = `Not JSON yet: ${error.message}`;
        }
      });
    }
  };

  const copies = (root) => {
    for (const button of root.querySelectorAll("button[data-copy][hidden]")) {
      const said = button.textContent;
      button.addEventListener("click", async () => {
        const text = document.getElementById(button.dataset.copy);
        try {
          await navigator.clipboard.writeText(text.textContent);
          button.textContent = "Copied";
        } catch { // the browser does not allow it
          getSelection().selectAllChildren(text);
          button.textContent = "Selected";
        }
        setTimeout(() => { button.textContent = said; }, 1500);
      });
      button.hidden = !navigator.clipboard;
    }
  };

  /** The reader's own time zone, where none is said yet, and the others to choose from. */
  const zones = () => {
    const field = document.querySelector("input[data-zone]");
    if (!field) return;
    for (const name of Intl.supportedValuesOf("timeZone")) field.list.append(new Option(name, name));
    if (field.value) return;
    field.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };

  /** A link to another form of the same notebook takes along what was typed into this one; but no secrets. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-carry]");
    if (!link) return;
    const address = new URL(link.href);
    for (const name of [...address.searchParams.keys()]) if (name.startsWith("p.")) address.searchParams.delete(name);
    for (const [name, value] of new FormData(document.getElementById(link.dataset.carry))) {
      if (name.startsWith("p.") && value) address.searchParams.append(name, value);
    }
    link.href = address;
  });

  const inWords = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  };

  /** How long something has been going on. */
  const elapse = () => {
    for (const span of document.querySelectorAll("[data-since]")) {
      if (span.dataset.since) span.textContent = inWords((Date.now() - Date.parse(span.dataset.since)) / 1000);
    }
  };

  const two = (number) => String(number).padStart(2, "0");

  /** Times are typed by the reader's own clock, and sent in UTC. */
  const moments = (root) => {
    for (const field of root.querySelectorAll("input[data-moment]:not([data-local])")) {
      field.dataset.local = "";
      const said = field.value ? new Date(field.value) : null;
      if (said && !Number.isNaN(said.getTime())) {
        field.value = `${said.getFullYear()}-${two(said.getMonth() + 1)}-${two(said.getDate())} ${two(said.getHours())}:${two(said.getMinutes())}`;
      }
      field.placeholder = field.placeholder.replace("T", " ").replace("Z", "");
      const hint = document.getElementById(`${field.id}-hint`);
      if (hint) hint.textContent = "By your own clock";
    }
  };
  document.addEventListener("formdata", (event) => {
    for (const field of event.target.querySelectorAll("input[data-local]")) {
      const parts = /^\s*(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?\s*$/.exec(field.value);
      if (!parts) continue;
      const [year, month, day, hour, least, second] = parts.slice(1).map((part) => Number(part ?? 0));
      event.formData.set(field.name, new Date(year, month - 1, day, hour, least, second).toISOString().replace(".000Z", "Z"));
    }
  });

  const enhance = (root) => {
    moments(root);
    localTimes(root);
    sliders(root);
    json(root);
    copies(root);
    elapse();
  };

  const keptForm = "pressroom.form";
  const isSecret = (form, name) => name.startsWith("s.") || form.querySelector(`[name="${CSS.escape(name)}"][type=password]`)
    || (name.endsWith(".default") && form.elements[name.replace(/default$/, "secret")]?.checked);

  /** What is sent is kept until the next page: should the session be over, it is filled in again after the sign-in. */
  const keep = (form) => {
    const typed = [...new FormData(form)].filter(([name, value]) => typeof value === "string"
      && name !== "csrf_token" && name !== "back" && !isSecret(form, name));
    sessionStorage.setItem(keptForm, JSON.stringify({ action: form.getAttribute("action"), typed }));
  };

  const fillIn = (form, typed) => {
    for (const control of form.elements) {
      if (!control.name || ["hidden", "password", "submit", "button"].includes(control.type)) continue;
      const values = typed.filter(([name]) => name === control.name).map(([, value]) => value);
      if (control.type === "checkbox") control.checked = values.includes(control.value);
      else if (values.length && !isSecret(form, control.name)) {
        control.value = values.at(-1);
        delete control.dataset.local;
        control.dispatchEvent(new Event("input")); // for its slider
      }
    }
    enhance(form);
    form.dispatchEvent(new Event("change", { bubbles: true }));
  };

  const say = (text, kind) => {
    const said = document.createElement("p");
    said.className = `flash flash-${kind}`;
    said.setAttribute("role", "alert");
    said.textContent = text;
    document.getElementById("main").prepend(said);
    return said;
  };

  const giveBack = () => {
    const kept = JSON.parse(sessionStorage.getItem(keptForm));
    if (!kept) return;
    const signedOut = document.querySelector("[data-kept]");
    if (signedOut) {
      signedOut.hidden = false;
      sessionStorage.setItem(keptForm, JSON.stringify({ ...kept, lost: true }));
      return;
    }
    const form = kept.lost && document.querySelector(`form[method=post][action="${CSS.escape(kept.action)}"]`);
    // It belongs to the page after the sign-in; met later, it would overwrite what stands there.
    sessionStorage.removeItem(keptForm);
    if (!form) return;
    fillIn(form, kept.typed);
    say("Filled in as you had sent it, but for secrets. Nothing of it was done yet.", "info");
  };

  /** A part of the page that could not be brought up to date says so: else it would look as if it were. */
  document.addEventListener("htmx:responseError", (event) => {
    const { status } = event.detail.xhr;
    if (document.getElementById("stale")) return;
    say(status === 401
      ? "Your session is over, and what is shown may be old. What you send now is filled in again after the sign-in."
      : `What is shown may be old: the service answered ${status}. Load the page again.`, "warn").id = "stale";
  });

  /** A request that a newer one replaces, or that is under way as the page is left, is no error. */
  document.addEventListener("htmx:beforeSend", ({ detail }) => {
    const ended = detail.xhr.onabort;
    detail.xhr.onabort = () => {
      detail.error = ""; // else it is written to the console
      ended();
    };
  });

  /** A form that changes something is sent once. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    keep(form);
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
    });
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("form[method=post] button[disabled]")) button.disabled = false;
  });

  /** Light or dark, at once. */
  const theme = document.querySelector("form[data-theme-form]");
  theme?.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = event.submitter.value;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `pressroom_theme=${chosen}; Path=${theme.dataset.path}; Max-Age=31536000; SameSite=Lax${secure}`;
    document.documentElement.dataset.theme = chosen;
    for (const button of theme.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  });

  setInterval(elapse, 1000);
  enhance(document);
  // When htmx listens: what is filled in is looked at as what is typed.
  addEventListener("load", giveBack);
  addEventListener("load", zones);
  // Before the browser paints what came: settling comes some frames later.
  document.addEventListener("htmx:afterSwap", () => enhance(document));
})();
