// What makes pages more comfortable. Each works without it.
"use strict";

(() => {
  const minute = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };

  /** Times in the reader's own zone; UTC stays as the text on hover, and behind the time in a text that is only there. */
  const localTimes = (root) => {
    for (const said of root.querySelectorAll("[data-utc]")) said.textContent = "by your own clock";
    for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
      const moment = new Date(time.dateTime);
      const year = moment.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
      const second = "seconds" in time.dataset ? { second: "2-digit" } : {};
      const weekday = "weekday" in time.dataset ? { weekday: "short" } : {};
      time.title = time.textContent.trim();
      time.textContent = moment.toLocaleString(undefined, { ...minute, ...year, ...second, ...weekday });
    }
    for (const title of root.querySelectorAll("title[data-time]")) {
      const local = new Date(title.dataset.time).toLocaleString(undefined, { ...minute, year: "numeric" });
      title.textContent = title.textContent.replace(/[-\d]+ [:\d]+ UTC$/, (utc) => `${local} (${utc})`);
      title.removeAttribute("data-time");
    }
  };

  /** A slider beside a number: each follows the other. */
  const sliders = (root) => {
    for (const slider of root.querySelectorAll("input.slider[hidden]")) {
      const number = document.getElementById(slider.dataset.for);
      const follow = () => {
        const given = number.value !== "" && !Number.isNaN(Number(number.value));
        if (given) slider.value = number.value;
        slider.classList.toggle("slider-idle", !given); // it stands somewhere all the same
        if (given) slider.removeAttribute("aria-valuetext");
        else slider.setAttribute("aria-valuetext", "nothing is given");
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
    for (const area of root.querySelectorAll("textarea[data-json]:not([data-looked-at])")) {
      area.dataset.lookedAt = "yes";
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

  /** How it is executed: the fields that each form of a notebook has beside the parameters. */
  const how = ["queue", "priority", "timeout_seconds", "max_attempts"];

  /** A link to another form of the same notebook takes along what was typed into this one; but no secrets, and nothing
   * of an empty field, which in the others is the notebook's default. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-carry]");
    if (!link) return;
    const form = document.getElementById(link.dataset.carry);
    if (!complete(form)) {
      event.preventDefault();
      halves(form)[0].focus();
      return;
    }
    const address = new URL(link.href);
    const taken = (name) => name.startsWith("p.") || how.includes(name);
    for (const name of [...address.searchParams.keys()]) if (taken(name)) address.searchParams.delete(name);
    for (const [name, value] of new FormData(form)) if (taken(name) && value) address.searchParams.append(name, value);
    link.href = address;
  });

  /** A date or a time of which a part is missing has no value, as if nobody had typed anything: it is sent by no form. */
  const halves = (form) => [...form.elements].filter((one) => one.validity?.badInput && /^date/.test(one.type));

  const sayHalf = (field) => {
    if (field.dataset.half) return;
    const said = document.createElement("span");
    said.className = "field-error";
    said.id = field.dataset.half = `${field.id}-half`;
    said.setAttribute("role", "alert");
    field.after(said);
    said.textContent = `This is not all of a ${field.type === "date" ? "date" : "time"}, or it is in no calendar: type each part, or none.`;
    field.dataset.told = field.getAttribute("aria-describedby") ?? "";
    field.setAttribute("aria-describedby", `${field.dataset.told} ${said.id}`.trim());
    field.setAttribute("aria-invalid", "true");
  };

  const whole = ({ target: field }) => {
    if (!field.dataset?.half || field.validity.badInput) return;
    document.getElementById(field.dataset.half).remove();
    field.setAttribute("aria-describedby", field.dataset.told);
    if (!document.getElementById(`${field.id}-error`)) field.removeAttribute("aria-invalid");
    delete field.dataset.half;
  };
  for (const touched of ["input", "keyup", "focusout"]) document.addEventListener(touched, whole);

  /** Whether all of a form is there to be sent; what is not is told of beside it. */
  const complete = (form) => {
    const found = halves(form);
    for (const field of found) sayHalf(field);
    return found.length === 0;
  };

  document.addEventListener("submit", (event) => {
    if (complete(event.target)) return;
    event.preventDefault();
    halves(event.target)[0].focus();
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const included = event.detail.elt.getAttribute("hx-include");
    if (included && !complete(document.querySelector(included))) event.preventDefault();
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

  /** What is written otherwise stays as it is, and the service refuses it where no zone is said. */
  const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)((?<=:\d\d:\d\d)\.\d+)?(Z|[+-]\d\d:\d\d)?)?$/;

  /** A time in its parts; nothing for what is none, a day that is in no calendar too, which a browser takes for another. */
  const partsOf = (text) => {
    const [, day, clock = "00:00", fraction = "", zone] = iso.exec(text) ?? [];
    const counted = new Date(`${day}T${clock}Z`);
    return day && !Number.isNaN(counted.getTime()) && counted.toISOString().startsWith(day) ? { day, clock, fraction, zone } : null;
  };

  /** Each time of a field, of which there may be several, in lines or between commas; but a comma that digits follow
   * which begin no day is one within a time. What is none stays as it is. */
  const eachTime = (text, put) => text.split(/(,(?!\d+(?!\d*-))|\n)/).map((part) => part.replace(/\S(?:.*\S)?/, put)).join("");

  /** A time as the reader's own clock has it; one without a zone is UTC. */
  const byOwnClock = (text, between) => {
    const said = partsOf(text);
    if (!said) return text;
    const moment = new Date(`${said.day}T${said.clock}${said.zone ?? "Z"}`);
    const day = [String(moment.getFullYear()).padStart(4, "0"), two(moment.getMonth() + 1), two(moment.getDate())];
    const second = moment.getSeconds() || said.fraction ? `:${two(moment.getSeconds())}${said.fraction}` : "";
    return `${day.join("-")}${between}${two(moment.getHours())}:${two(moment.getMinutes())}${second}`;
  };

  /** What was typed by the reader's own clock, in UTC. */
  const inUtc = (text) => {
    const typed = partsOf(text);
    if (!typed || typed.zone) return text;
    return `${new Date(`${typed.day}T${typed.clock}`).toISOString().slice(0, -".000Z".length)}${typed.fraction}Z`;
  };

  /** Times are typed by the reader's own clock, and sent in UTC; one that nobody touched is sent as it came, since an
   * hour comes twice when clocks are put back. */
  const moments = (root) => {
    for (const field of root.querySelectorAll("[data-moment]:not([data-shown])")) {
      const between = field.type === "datetime-local" ? "T" : " ";
      field.value = eachTime(field.dataset.moment, (text) => byOwnClock(text, between));
      field.dataset.shown = field.value;
      if (field.placeholder) field.placeholder = eachTime(field.placeholder, (text) => byOwnClock(text, " "));
      document.getElementById(`${field.id}-clock`).textContent = "By your own clock";
    }
  };
  document.addEventListener("formdata", (event) => {
    for (const field of event.target.querySelectorAll("[data-shown]")) {
      event.formData.set(field.name, field.value === field.dataset.shown ? field.dataset.moment : eachTime(field.value, inUtc));
    }
  });

  /** What works by scripts alone. */
  const scripted = (root) => {
    for (const one of root.querySelectorAll("[data-scripted]")) one.hidden = false;
    // What is wrong is said in the service's words; without scripts the browser says at least what it would leave out.
    for (const form of root.querySelectorAll("form[data-told]")) form.noValidate = true;
  };

  const enhance = (root) => {
    scripted(root);
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

  /** Who is signed in, as the page says; nobody, where none is. */
  const reader = () => document.querySelector("[data-username]")?.dataset.username;

  /** What is sent is kept until the next page: should the session be over, it is filled in again after the sign-in, for
   * whoever typed it. */
  const keep = (form) => {
    const typed = [...new FormData(form)].filter(([name, value]) => typeof value === "string"
      && name !== "csrf_token" && name !== "back" && !isSecret(form, name));
    const kept = JSON.stringify({ by: reader(), action: form.getAttribute("action"), typed });
    try {
      sessionStorage.setItem(keptForm, kept);
    } catch { // more than a browser keeps, megabytes: it is sent all the same, and could not be given back
      sessionStorage.removeItem(keptForm);
    }
  };

  /** The name that a control of a row had as its form was sent: rows are known by the names in them, and may stand
   * elsewhere by now. Nothing for a row that was not there; the one for a new name is where a name was typed. */
  const nameThen = (form, typed, name) => {
    const [, row, field] = /^d\.(\d+)\.(\w+)$/.exec(name) ?? [];
    if (!row) return name;
    const own = form.elements[`d.${row}.name`];
    const known = [...form.elements].filter((one) => one.type === "hidden" && /^d\.\d+\.name$/.test(one.name)).map((one) => one.value);
    const then = typed.findLast(([key, value]) => /^d\.\d+\.name$/.test(key)
      && (own.type === "hidden" ? value === own.value : !known.includes(value)));
    return then?.[0].replace(/name$/, field);
  };

  const fillIn = (form, typed) => {
    for (const control of form.elements) {
      const isTyped = !["hidden", "password", "submit", "button"].includes(control.type);
      // The edition is the one that was typed over.
      if (!control.name || (!isTyped && control.name !== "edition")) continue;
      const then = nameThen(form, typed, control.name);
      if (!then) continue;
      const values = typed.filter(([name]) => name === then).map(([, value]) => value);
      if (control.type === "checkbox") control.checked = values.includes(control.value);
      else if (values.length && !isSecret(form, control.name)) {
        if ("moment" in control.dataset) {
          control.dataset.moment = values.at(-1);
          delete control.dataset.shown;
        } else control.value = values.at(-1);
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
    if (reader() && reader() !== kept.by) {
      sessionStorage.removeItem(keptForm);
      return;
    }
    const refused = document.querySelector("[data-kept]");
    if (refused) {
      refused.hidden = false;
      sessionStorage.setItem(keptForm, JSON.stringify({ ...kept, lost: true }));
      return;
    }
    const form = kept.lost && document.querySelector(`form[method=post][action="${CSS.escape(kept.action)}"]`);
    // It belongs to the page after the sign-in or the refusal; met later, it would overwrite what stands there.
    sessionStorage.removeItem(keptForm);
    if (!form) return;
    fillIn(form, kept.typed);
    say("Filled in as you had sent it, but for secrets. Nothing of it was done yet.", "info");
  };

  /** A part of the page that could not be brought up to date says so, until it is: else it would look as if it were. */
  const stale = (why) => ({ detail }) => {
    const text = why(detail.xhr.status);
    const before = document.getElementById("stale");
    if (before?.textContent === text) return;
    before?.remove();
    const said = say(text, "warn");
    said.id = "stale";
    said.dataset.path = detail.pathInfo.requestPath;
  };
  document.addEventListener("htmx:responseError", stale((status) => (status === 401
    ? "Your session is over, and what is shown may be old. What you send now is filled in again after the sign-in."
    : status === 403 ? "What is shown may be old: you have signed in anew since, or may no longer do this."
      : `What is shown may be old: the service answered ${status}. Load the page again.`)));
  const away = stale(() => "What is shown may be old: the service cannot be reached. It is asked again.");
  document.addEventListener("htmx:sendError", away);
  document.addEventListener("htmx:timeout", away);
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    const said = document.getElementById("stale");
    if (detail.successful && said?.dataset.path === detail.pathInfo.requestPath) said.remove();
  });

  /** A request that a newer one replaces, or that is under way as the page is left, is no error. */
  document.addEventListener("htmx:beforeSend", ({ detail }) => {
    const ended = detail.xhr.onabort;
    detail.xhr.onabort = () => {
      detail.error = ""; // else it is written to the console
      ended();
    };
  });

  /** What comes in place of something that was scrolled is scrolled as far. */
  const scrolled = new Map();
  document.addEventListener("htmx:beforeSwap", () => {
    for (const one of document.querySelectorAll("[data-keeps-scroll]")) scrolled.set(one.id, [one.scrollLeft, one.scrollTop]);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const [id, [left, top]] of scrolled) document.getElementById(id)?.scrollTo({ left, top, behavior: "instant" });
    scrolled.clear();
  });

  /** A form that changes something is sent once, and says that it is under way. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    keep(form);
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
      form.setAttribute("aria-busy", "true");
    });
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[aria-busy]")) form.removeAttribute("aria-busy");
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
