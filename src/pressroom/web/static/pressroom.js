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
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
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

  const enhance = (root) => {
    localTimes(root);
    sliders(root);
    json(root);
    copies(root);
    elapse();
  };

  /** A form that changes something is sent once. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
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
  addEventListener("load", zones);
  document.addEventListener("htmx:afterSettle", () => enhance(document));
})();
