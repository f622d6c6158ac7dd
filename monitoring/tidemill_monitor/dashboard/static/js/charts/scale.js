// From values to pixels.

/** A straight line from `domain` to `range`. */
export function linear([d0, d1], [r0, r1]) {
  const slope = d1 === d0 ? 0 : (r1 - r0) / (d1 - d0);
  return (value) => r0 + (value - d0) * slope;
}

/** About `n` round values that cover [low, high]. */
export function ticks(low, high, n = 4) {
  const span = high - low || 1;
  const rough = span / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at += 1) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}

/** The extremes of what is there, with air around them. */
export function extent(values, air = 0.1) {
  const known = values.filter(Number.isFinite);
  if (!known.length) return [0, 1];
  const low = Math.min(...known);
  const high = Math.max(...known);
  const gap = (high - low || Math.abs(high) || 1) * air;
  return [low - gap, high + gap];
}

/** Steps through `n` places so that labels of `wide` pixels fit into `width`. */
export const thinned = (n, width, wide) => Math.max(1, Math.ceil((n * wide) / Math.max(width, 1)));

/** SVG paths through points, broken where a value is missing; lone points are left out. */
export function path(points) {
  let text = "";
  let pen = false;
  points.forEach(([x, y]) => {
    if (!Number.isFinite(y)) {
      pen = false;
      return;
    }
    text += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  });
  return text;
}

/** Runs of points that have both a lower and an upper end, as closed shapes. */
export function ribbon(points) {
  const runs = [[]];
  for (const point of points) {
    if (Number.isFinite(point[1]) && Number.isFinite(point[2])) runs.at(-1).push(point);
    else if (runs.at(-1).length) runs.push([]);
  }
  return runs
    .filter((run) => run.length > 1)
    .map((run) => {
      const upper = run.map(([x, , high]) => `${x.toFixed(1)} ${high.toFixed(1)}`);
      const lower = run.map(([x, low]) => `${x.toFixed(1)} ${low.toFixed(1)}`).reverse();
      return `M${upper.concat(lower).join("L")}Z`;
    });
}
