// Trying again, with pauses that grow.

const most = 6, first = 500, longest = 8000, worthWaiting = 60_000;

// patiently does something until it is done, refused for good, tried too often, or stopped by the signal.
export async function patiently(act, signal, trying = () => {}) {
  for (let tries = 1, pause = first; ; tries++, pause = Math.min(2 * pause, longest)) {
    try {
      return await act();
    } catch (e) {
      const wait = Math.max(pause * (0.5 + Math.random()), 1000 * (e.retryAfter || 0));
      if (signal.aborted || e.final || tries === most || wait > worthWaiting) throw e;
      trying(e);
      await delay(wait, signal);
    }
  }
}

function delay(ms, signal) {
  return new Promise((done, stopped) => {
    const stop = () => { clearTimeout(timer); stopped(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", stop); done(); }, ms);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, {once: true});
  });
}
