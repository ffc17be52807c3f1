"""People in front of a browser, who sign in at Keycloak and work in their notebook servers."""

import re
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, Page, expect
from stack import HUB

RUN = """async ([server, code]) => {
  const xsrf = document.cookie.split("; ").filter(c => c.startsWith("_xsrf=")).map(c => c.slice(6)).pop();
  const made = await fetch(`${server}/api/kernels`, {
    method: "POST", body: JSON.stringify({name: "python3"}),
    headers: {"X-XSRFToken": xsrf, "Content-Type": "application/json"}});
  if (!made.ok) throw new Error(`no kernel: ${made.status} ${await made.text()}`);
  const {id} = await made.json();
  const socket = new WebSocket(`${server.replace("http", "ws")}/api/kernels/${id}/channels`);
  await new Promise((opened, failed) => { socket.onopen = opened; socket.onerror = failed; });
  const header = {
    msg_id: crypto.randomUUID(), msg_type: "execute_request", username: "", session: "tests", version: "5.3"};
  const content = {code, silent: false, store_history: false, allow_stdin: false, stop_on_error: true};
  let printed = "";
  const told = await new Promise((ended, failed) => {
    socket.onclose = () => failed(new Error("the kernel's connection was closed"));
    socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (message.parent_header.msg_id !== header.msg_id) return;
      if (message.msg_type === "stream") printed += message.content.text;
      if (message.msg_type === "error") failed(new Error(message.content.traceback.join("\\n")));
      if (message.msg_type === "status" && message.content.execution_state === "idle") ended(printed);
    };
    socket.send(JSON.stringify({header, parent_header: {}, metadata: {}, content, channel: "shell"}));
  });
  socket.onclose = null;
  socket.close();
  await fetch(`${server}/api/kernels/${id}`, {method: "DELETE", headers: {"X-XSRFToken": xsrf}});
  return told;
}"""


@dataclass
class Person:
    """Somebody with a browser of their own."""

    name: str
    context: BrowserContext
    page: Page
    password: str = field(repr=False)
    notebook: str = ""
    """The id of the notebook that they have registered."""
    execution: str = ""

    @classmethod
    def at(cls, browser: Browser, name: str, first_password: str) -> "Person":
        context = browser.new_context()
        context.set_default_timeout(120_000)
        return cls(name, context, context.new_page(), first_password)

    @property
    def server(self) -> str:
        return f"{HUB}/user/{self.name}"

    def sign_in(self) -> None:
        """From the Hub to Keycloak's form, through what it asks for at a first sign-in, and on to a running server."""
        page = self.page
        page.goto(f"{HUB}/hub/user-redirect/lab")
        page.locator("#username").fill(self.name)
        page.locator("#password").fill(self.password)
        page.locator("#kc-login").click()
        there = re.compile(re.escape(f"{self.server}/lab"))
        for _ in range(3):
            form = page.locator("#kc-passwd-update-form, #kc-update-profile-form")
            expect(form.or_(page.locator("#jupyter-config-data, #progress-bar"))).to_have_count(1, timeout=120_000)
            if page.locator("#password-new").count():
                self.password = f"changed by {self.name}"
                page.locator("#password-new").fill(self.password)
                page.locator("#password-confirm").fill(self.password)
            elif page.locator("#firstName").count():
                page.locator("#email").fill(f"{self.name}@example.com")
                page.locator("#firstName").fill(self.name.title())
                page.locator("#lastName").fill("Test")
            else:
                break
            page.locator("[type=submit]").first.click()
        page.wait_for_url(there, timeout=180_000)

    def come_back(self) -> None:
        """To their server, which is started if it is not running, by whoever is signed in still."""
        self.page.goto(f"{HUB}/hub/user-redirect/lab")
        self.page.wait_for_url(re.compile(re.escape(f"{self.server}/lab")), timeout=180_000)

    def run(self, code: str) -> str:
        """What code prints in a new kernel of their notebook server, over the connections of the page that they see."""
        return self.page.evaluate(RUN, [self.server, code])
