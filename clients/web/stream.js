// Facetrackd's websocket: the newest message, and a connection that comes back.

const RETRY_MS = 1000;

/** Connects, and keeps connecting. `take()` gives the newest message that was not taken yet, or null. */
export function connect(url, say) {
  let newest = null;
  function open() {
    say(`connecting to ${url} …`);
    const socket = new WebSocket(url);
    socket.onopen = () => say(`${url} · waiting for a frame`);
    socket.onmessage = (event) => (newest = event.data);
    socket.onclose = () => {
      say(`no facetrackd at ${url}; is it running, with a websocket output?`);
      setTimeout(open, RETRY_MS);
    };
  }
  open();
  return {
    take() {
      const text = newest;
      newest = null;
      // Parsed when it is drawn: what came in between is never looked at.
      return text === null ? null : JSON.parse(text);
    },
  };
}
