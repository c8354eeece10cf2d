"use strict";
// Samplers, guidance and clipping, as in unnoise. Pictures are Float32Array of channels x height x width; a
// denoiser is `async (noisy, noiseRate, signalRate, ends) => ({ noises, images })`, where `ends` is the noise and the
// signal rate at which the step ends, for networks of distilled runs.

/**
 * DDIM (2010.02502), DDPM's ancestral sampler (2006.11239), DPM-Solver++ 2M (2211.01095) and the consistency sampler
 * (2303.01469): noises to picture.
 * @param rates { noise_rates, signal_rates } at every step and at the end.
 * @param sampler { order, eta, large, derived, jumps }: order 2 is DPM-Solver++; eta is how much noise is added on the way, from
 *   0 to 1; with order 1 and eta 1, `large` is the larger of DDPM's two variances.
 *   `derived` noises are those between the predicted and the noisy images, not the predicted ones. Distilled
 *   networks jump to the "next" level, or to the "image", which then gets fresh noises.
 * @param draw () => the next noises.
 * Yields { noisy, images } at every step; the images of the last are the result.
 */
async function* reverseDiffusion(denoise, noises, rates, sampler, draw) {
  const noise = rates.noise_rates, signal = rates.signal_rates;
  const lambdas = noise.map((rate, step) => Math.log(signal[step]) - Math.log(rate));
  let noisy = noises, last = null;
  for (let step = 0; step + 1 < noise.length; step++) {
    const ends = endsOf(rates, step, sampler.jumps);
    let { images, noises: eps } = await denoise(noisy, noise[step], signal[step], ends);
    const predicted = images;
    if (sampler.order === 2 && last && lambdas[step + 1] < Infinity) {
      const part = (lambdas[step + 1] - lambdas[step]) / (lambdas[step] - lambdas[step - 1]) / 2;
      images = predicted.map((value, i) => value + part * (value - last[i]));
    }
    if (sampler.derived || images !== predicted) eps = noisesIn(noisy, images, noise[step], signal[step]);
    yield { noisy, images };
    last = predicted;
    if (step + 2 < noise.length) {
      const { kept, added } = (sampler.order === 2 ? sdeRates : ddimRates)(rates, lambdas, step, sampler);
      const fresh = added ? draw() : null;
      noisy = images.map((value, i) => signal[step + 1] * value + kept * eps[i] + (added && added * fresh[i]));
    }
  }
}

/** The same walk, whose last images, cut to black and white, go through the network again, told of `level` noise / signal. */
async function* withPolish(walk, denoise, level, black, white) {
  let last = null;
  for await (const state of walk) {
    if (last) yield last;
    last = state;
  }
  const signal = 1 / Math.sqrt(1 + level ** 2), noise = level * signal;
  const area = last.images.length / black.length;
  const cut = (value, i) => Math.min(white[Math.floor(i / area)], Math.max(black[Math.floor(i / area)], value));
  const { images } = await denoise(last.images.map((value, i) => signal * cut(value, i)), noise, signal, [noise, signal]);
  yield { noisy: last.noisy, images };
}

/** The noise and the signal rate at which a step ends: where it begins, at the next level, or at the image. */
function endsOf(rates, step, jumps) {
  if (!jumps) return [rates.noise_rates[step], rates.signal_rates[step]];
  const last = step + 2 === rates.noise_rates.length;
  return last || jumps === "image" ? [0, 1] : [rates.noise_rates[step + 1], rates.signal_rates[step + 1]];
}

/** The rates of the predicted and of fresh noises after a step of DDIM (eq. 16), or of the consistency sampler. */
function ddimRates(rates, lambdas, step, { eta, large, jumps }) {
  const [noise, after] = rates.noise_rates.slice(step, step + 2);
  if (jumps === "image") return { kept: 0, added: after };
  const [signal, signalAfter] = rates.signal_rates.slice(step, step + 2);
  const spread = (eta * Math.sqrt(Math.max(0, 1 - (signal / signalAfter) ** 2)) * after) / noise;
  return {
    kept: Math.sqrt(Math.max(0, after ** 2 - spread ** 2)),
    added: large ? (spread * noise) / after : spread,
  };
}

/** The same after a step of DPM-Solver++, whose noise decays by e^(-eta h) in a step h of log(signal / noise). */
function sdeRates(rates, lambdas, step, { eta }) {
  const decay = eta ? Math.exp(-eta * (lambdas[step + 1] - lambdas[step])) : 1;
  const after = rates.noise_rates[step + 1];
  return { kept: after * decay, added: after * Math.sqrt(1 - decay ** 2) };
}

/** The noises that mix with these images to the noisy ones. */
function noisesIn(noisy, images, noiseRate, signalRate) {
  return noisy.map((value, i) => (value - signalRate * images[i]) / noiseRate);
}

/**
 * Classifier-free guidance (2207.12598): images = worse + scale (better - worse), where noise / signal is in
 * the interval; `rescale` brings the standard deviation back to that of the better ones (2305.08891).
 */
function guided(better, worse, { scale, rescale, interval }) {
  return async (noisy, noiseRate, signalRate, ends) => {
    const good = await better(noisy, noiseRate, signalRate, ends);
    const ratio = noiseRate / signalRate;
    const everywhere = interval[0] === 0 && interval[1] >= 1e9;
    if (scale === 1 || !(everywhere || (interval[0] <= ratio && ratio <= interval[1]))) return good;
    const bad = await worse(noisy, noiseRate, signalRate, ends);
    const mixed = (name) => good[name].map((value, i) => bad[name][i] + scale * (value - bad[name][i]));
    const images = mixed("images");
    if (!rescale) return { images, noises: mixed("noises") };
    const factor = 1 + rescale * (deviation(good.images) / Math.max(1e-8, deviation(images)) - 1);
    const scaled = images.map((value) => value * factor);
    return { images: scaled, noises: noisesIn(noisy, scaled, Math.max(1e-4, noiseRate), signalRate) };
  };
}

/** The sample standard deviation. */
function deviation(values) {
  let sum = 0, squares = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (const value of values) squares += (value - mean) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}

/**
 * Clips predicted images to black and white of each channel: "static" each value, "images" likewise but leaves
 * the noises, "dynamic" (2205.11487) after scaling so that 0.5 % of the values are clipped, "none" not at all.
 */
function clipped(denoise, clip, black, white) {
  if (clip === "none") return denoise;
  return async (noisy, noiseRate, signalRate, ends) => {
    const prediction = await denoise(noisy, noiseRate, signalRate, ends);
    const area = noisy.length / black.length;
    const images = prediction.images.slice();
    const reach = clip === "dynamic" ? Math.max(1, largest(images, area, black, white)) : 1;
    for (let i = 0; i < images.length; i++) {
      const channel = Math.floor(i / area);
      const middle = (white[channel] + black[channel]) / 2, half = (white[channel] - black[channel]) / 2;
      const centred = Math.min(reach, Math.max(-reach, (images[i] - middle) / half));
      images[i] = middle + (half * centred) / reach;
    }
    if (clip === "images") return { images, noises: prediction.noises };
    return { images, noises: noisesIn(noisy, images, Math.max(1e-4, noiseRate), signalRate) };
  };
}

/** The 99.5 % quantile of the distances from grey, where black and white are at 1. */
function largest(images, area, black, white) {
  const distances = images.map((value, i) => {
    const channel = Math.floor(i / area);
    const middle = (white[channel] + black[channel]) / 2, half = (white[channel] - black[channel]) / 2;
    return Math.abs((value - middle) / half);
  }).sort();
  const place = 0.995 * (distances.length - 1), below = Math.floor(place);
  const above = Math.min(below + 1, distances.length - 1);
  return distances[below] + (place - below) * (distances[above] - distances[below]);
}

/**
 * The denoiser of a class, or of none (null), with the run's guidance and clipping.
 * @param predict async (noisy, noiseRate, signalRate, classNumber, previousImages, ends) => { noises, images }
 */
function guidedDenoise(predict, facts, classNumber) {
  const { guidance, clip } = facts.sampling;
  const good = selfConditioned(predict, classNumber ?? facts.num_classes);
  const denoise = classNumber === null
    ? good
    : guided(good, selfConditioned(predict, facts.num_classes), guidance);
  return clipped(denoise, clip, facts.black, facts.white);
}

/** A denoiser that is given its own last images (2208.04202); make a new one for each picture. */
function selfConditioned(predict, classNumber) {
  let previous = null;
  return async (noisy, noiseRate, signalRate, ends) => {
    const prediction = await predict(noisy, noiseRate, signalRate, classNumber, previous, ends);
    previous = prediction.images;
    return prediction;
  };
}
