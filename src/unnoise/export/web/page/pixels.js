"use strict";
// From normalised numbers to pixels on a canvas.

/** RGBA bytes of normalised images, channels x height x width, with 1 (grey) to 4 (RGBA) channels. */
function toPixels(images, facts) {
  const [channels, height, width] = facts.image_shape;
  const { mean, std } = facts.normalizer;
  const area = height * width, pixels = new ImageData(width, height);
  const level = (channel, i) => {
    const place = Math.min(channel, mean.length - 1); // one number may stand for all channels
    return 255 * (mean[place] + std[place] * images[channel * area + i]); // clamped and rounded by the array
  };
  for (let i = 0; i < area; i++) {
    const colours = channels < 3 ? [0, 0, 0] : [0, 1, 2];
    colours.forEach((channel, place) => (pixels.data[4 * i + place] = level(channel, i)));
    pixels.data[4 * i + 3] = channels % 2 ? 255 : level(channels - 1, i);
  }
  return pixels;
}

/** Draws pictures of equal size (null for one that is not there yet) as a square sheet, one pixel each. */
function drawSheet(canvas, pictures, facts) {
  const [, height, width] = facts.image_shape;
  const columns = Math.ceil(Math.sqrt(pictures.length)), gap = pictures.length > 1 ? Math.ceil(width / 16) : 0;
  const rows = Math.ceil(pictures.length / columns);
  const size = [columns * (width + gap) - gap, rows * (height + gap) - gap];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d");
  pictures.forEach((picture, place) => {
    if (!picture) return;
    const column = place % columns, row = Math.floor(place / columns);
    context.putImageData(toPixels(picture, facts), column * (width + gap), row * (height + gap));
  });
  canvas.classList.toggle("small", Math.max(...size) < 512);
}

/** Saves a canvas as a PNG file, enlarged by a whole factor to at least 512 pixels. */
function savePng(canvas, name) {
  const factor = Math.max(1, Math.ceil(512 / Math.max(canvas.width, canvas.height)));
  const large = document.createElement("canvas");
  [large.width, large.height] = [canvas.width * factor, canvas.height * factor];
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  const link = document.createElement("a");
  link.download = name;
  link.href = large.toDataURL("image/png");
  link.click();
}
