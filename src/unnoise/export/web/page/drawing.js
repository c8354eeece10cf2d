"use strict";
// Pictures of seeds, drawn by the network of this page.

/** How many numbers a picture has. */
function sizeOf(facts) {
  return facts.image_shape.reduce((product, size) => product * size);
}

/** The number of the class of a seed: a number as chosen, each in turn, or null for none. */
function classOf(choice, seed, facts) {
  if (facts.clusters) return clusterOf(seed, facts.clusters);
  if (!facts.num_classes || choice === "none") return null;
  return choice === "turn" ? Number(BigInt(seed) % BigInt(facts.classes.length || facts.num_classes)) : Number(choice);
}

/** The cluster that the picture of a seed is drawn from: larger ones more often, by multiples of the golden ratio. */
function clusterOf(seed, counts) {
  const total = BigInt(counts.reduce((sum, count) => sum + count, 0));
  const place = (BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n) * total) >> 64n;
  for (let k = 0, end = 0; ; k++) if (place < BigInt((end += counts[k]))) return k;
}

/** The reverse process of a seed: what `unnoise generate --seed` draws with the same settings. */
function processOfSeed(network, facts, seed, { steps, sampler, classChoice }) {
  const noises = new SeededNoises(seed), count = sizeOf(facts);
  const own = classOf(classChoice, seed, facts), denoise = guidedDenoise(network.predict, facts, own);
  const walk = reverseDiffusion(denoise, noises.next(count), facts.rates[steps], sampler, () => noises.next(count));
  return polished(walk, network, facts, own);
}

/** The reverse process between two seeds, by DDIM or DPM-Solver++ without added noise. */
function processBetween(network, facts, [from, to], fraction, { steps, sampler, classChoice }) {
  const [start, end] = [from, to].map((seed) => new SeededNoises(seed).next(sizeOf(facts)));
  const seed = facts.clusters && fraction > 0.5 ? to : from;
  const own = classOf(classChoice, seed, facts), denoise = guidedDenoise(network.predict, facts, own);
  const smooth = sampler.eta || sampler.jumps === "image" ? { order: 1, eta: 0, large: false, jumps: "next" } : sampler;
  const walk = reverseDiffusion(denoise, slerp(start, end, fraction), facts.rates[steps], smooth, null);
  return polished(walk, network, facts, own);
}

/** The same process, whose last picture is without grain: the network is told once more of noise that is not there. */
function polished(walk, network, facts, classNumber) {
  const level = facts.sampling.polish ?? 0; // models of older versions have none
  if (!level) return walk;
  const denoise = selfConditioned(network.predict, classNumber ?? facts.num_classes);
  return withPolish(walk, denoise, level, facts.black, facts.white);
}

/** Lets the browser paint and listen. */
function breath() {
  return new Promise((resolve) => {
    const done = () => (clearTimeout(timer), cancelAnimationFrame(frame), resolve());
    const frame = requestAnimationFrame(() => setTimeout(done)), timer = setTimeout(done, 50); // hidden: no frames
  });
}

/**
 * Advances processes side by side, step by step.
 * @param onStep called with the step, and what each process yielded; returns whether to go on.
 */
async function advance(processes, onStep) {
  let last = performance.now();
  for (let step = 1; ; step++) {
    const states = [];
    for (const process of processes) {
      const { value, done } = await process.next();
      if (done) return;
      states.push(value);
      if (!onStep(step, states)) return;
      if (performance.now() - last < 25) continue;
      await breath();
      last = performance.now();
    }
  }
}
