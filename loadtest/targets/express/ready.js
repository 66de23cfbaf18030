// Whether the application at PORT can serve: exits with 0 where GET /ready is a 200.
try {
  const answer = await fetch(`http://127.0.0.1:${process.env.PORT || 3000}/ready`, { signal: AbortSignal.timeout(2000) });
  process.exit(answer.ok ? 0 : 1);
} catch {
  process.exit(1);
}
