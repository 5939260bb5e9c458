// Server-sent events (WHATWG HTML, 9.2) for a page that must not miss one. Read here and not by an
// EventSource: that asks a server that is away every second, gives up at a proxy's error, and takes
// a connection that died in silence for a quiet one.
const SILENCE = 45; // seconds after which a stream is dead: the server says something every 15

// Listens at `url` for what comes after the event with the id `after`.
//
// `each(id)` is called for every event, `alive()` whenever something comes. The result has `close()`
// and `ended`, a promise of how it ended: "closed" by us, "over" by the server, or "lost".
export function listen(url, { after, each, alive }) {
  const connection = new AbortController();
  let closed = false;

  async function run() {
    const answer = await fetch(url, {
      headers: { Accept: "text/event-stream", ...(after && { "Last-Event-ID": after }) },
      redirect: "manual",
      cache: "no-store",
      signal: connection.signal,
    });
    if (answer.status >= 500) return "lost";
    if (answer.status !== 200) return "over";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const silence = setTimeout(() => connection.abort(), SILENCE * 1000);
      const { value, done } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return "over";
      alive();
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        const [, id] = /^id: (\d+)$/m.exec(event) ?? [];
        if (id !== undefined) each(id);
      }
    }
  }

  return {
    close() {
      closed = true;
      connection.abort();
    },
    ended: run().catch(() => "lost").then((how) => (closed ? "closed" : how)),
  };
}
