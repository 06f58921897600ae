// Strokes on a canvas, in whole pixels: the canvas's own lines are blended at their edges, and a mask has flat colours.

// Draws a stroke of a brush so many pixels wide through points [x, y]; without a colour it erases.
export function draw(context, { colour, size, points }) {
  const fill = colour ? context.fillRect : context.clearRect, radius = size / 2;
  context.fillStyle = colour || "#000";
  for (let n = 0; n < points.length; n++) {
    const [x0, y0] = points[Math.max(0, n - 1)], [x1, y1] = points[n];
    const steps = Math.max(1, Math.ceil(Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0))));
    for (let step = 0; step <= steps; step++) {
      const x = x0 + (x1 - x0) * step / steps, y = y0 + (y1 - y0) * step / steps;
      for (let row = Math.ceil(y - radius); row < y + radius; row++) {
        const half = Math.sqrt(Math.max(0, radius ** 2 - (row - y) ** 2)), left = Math.round(x - half);
        fill.call(context, left, row, Math.round(x + half) - left, 1);
      }
    }
  }
}
