"use strict";
// The network, run by onnxruntime-web: on one thread of the CPU, or by WebGPU where that gives the same.

/** The bytes of a file of this page, which lies beside it or, compressed, inside it. */
async function bytesOf(name) {
  const inside = document.getElementById(`file:${name}`);
  if (!inside) {
    const answer = await fetch(name);
    if (!answer.ok) throw new Error(`The file ${name} is not beside this page.`);
    return new Uint8Array(await answer.arrayBuffer());
  }
  const packed = Uint8Array.from(atob(inside.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** An address of a script of this page. */
async function addressOf(name) {
  if (!document.getElementById(`file:${name}`)) return new URL(name, document.baseURI).href;
  return URL.createObjectURL(new Blob([await bytesOf(name)], { type: "text/javascript" }));
}

/** Loads onnxruntime-web from { script, module, binary }, the names of its files. */
async function loadRuntime({ script, module, binary }) {
  await new Promise(async (resolve, reject) => {
    const element = document.createElement("script");
    element.src = await addressOf(script);
    element.onload = resolve;
    element.onerror = () => reject(new Error(`The file ${script} cannot be read.`));
    document.head.append(element);
  });
  const runtime = globalThis.ort;
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = { mjs: await addressOf(module) };
  runtime.env.wasm.wasmBinary = await bytesOf(binary);
  runtime.env.logLevel = "error";
  return runtime;
}

/**
 * The network on one device, as `predict` of guidedDenoise. Its inputs are those of an .onnx file of unnoise.
 * @param shape [channels, height, width]
 */
async function openNetwork(runtime, bytes, device, shape) {
  const session = await runtime.InferenceSession.create(bytes, { executionProviders: [device] });
  let turn = Promise.resolve(); // a session runs one call at a time
  const tensor = (type, data, dims) => new runtime.Tensor(type, data, dims);
  const predict = async (noisy, noiseRate, signalRate, classNumber, previous, ends) => {
    const known = {
      noisy_images: () => tensor("float32", noisy, [1, ...shape]),
      noise_rates: () => tensor("float32", Float32Array.of(noiseRate), [1, 1, 1, 1]),
      signal_rates: () => tensor("float32", Float32Array.of(signalRate), [1, 1, 1, 1]),
      end_noise_rates: () => tensor("float32", Float32Array.of(ends[0]), [1, 1, 1, 1]),
      end_signal_rates: () => tensor("float32", Float32Array.of(ends[1]), [1, 1, 1, 1]),
      classes: () => tensor("int64", BigInt64Array.of(BigInt(classNumber)), [1]),
      previous_images: () => tensor("float32", previous ?? new Float32Array(noisy.length), [1, ...shape]),
    };
    const feeds = Object.fromEntries(session.inputNames.map((name) => [name, known[name]()]));
    turn = turn.catch(() => null).then(() => session.run(feeds, ["noises", "images"]));
    const { noises, images } = await turn;
    return { noises: noises.data, images: images.data };
  };
  return { device, predict };
}

/** The network of this page, on the fastest device that can be relied on. */
async function loadNetwork(facts) {
  const bytes = await bytesOf("model.onnx");
  const cpu = await openNetwork(await loadRuntime(facts.runtime.wasm), bytes, "wasm", facts.image_shape);
  const gpu = await gpuNetwork(facts, bytes).catch(() => null);
  return gpu && (await isBetter(gpu, cpu, facts)) ? gpu : cpu;
}

/** The network by WebGPU, or null where there is none. */
async function gpuNetwork(facts, bytes) {
  if (!facts.runtime.webgpu || !(await navigator.gpu?.requestAdapter())) return null;
  const runtime = await loadRuntime(facts.runtime.webgpu);
  return openNetwork(runtime, bytes, "webgpu", facts.image_shape);
}

/** Whether one network predicts the same as another to a thousandth, at three noise levels, in less time. */
async function isBetter(candidate, known, facts) {
  const rates = facts.rates[facts.sampling.num_steps];
  const noisy = new SeededNoises(0).next(facts.image_shape.reduce((product, size) => product * size));
  const steps = rates.noise_rates.length - 1;
  let before = 0, after = 0;
  for (const step of [0, Math.floor(steps / 2), steps - 1]) {
    const ends = endsOf(rates, step, "image");
    const given = [noisy, rates.noise_rates[step], rates.signal_rates[step], facts.num_classes, null, ends];
    const found = [];
    for (const network of [known, candidate]) {
      await network.predict(...given); // the first call prepares the device
      const start = performance.now();
      found.push((await network.predict(...given)).images);
      if (network === known) before += performance.now() - start;
      else after += performance.now() - start;
    }
    const [wanted, other] = found;
    if (!wanted.every((value, i) => Math.abs(value - other[i]) <= 1e-3 * Math.max(1, Math.abs(value)))) return false;
  }
  return after < before;
}
