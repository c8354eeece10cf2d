"use strict";
// Gaussian noises of a seed, number for number those that PyTorch draws on a CPU, and paths between them.

/** Mersenne Twister MT19937 (Matsumoto and Nishimura 1998): whole numbers from 0 to 2^32 - 1. */
class MersenneTwister {
  /** @param {number|bigint|string} seed a whole number, of which PyTorch uses the lowest 32 bits. */
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = Number(BigInt(seed) & 0xffffffffn);
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
    this.place = 624;
  }

  /** Replaces all numbers of the state. */
  twist() {
    const state = this.state;
    for (let i = 0; i < 624; i++) {
      const bits = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  next() {
    if (this.place === 624) this.twist();
    let bits = this.state[this.place++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  /** A multiple of 2^-24 in [0, 1). */
  single() {
    return (this.next() & 0xffffff) / 2 ** 24;
  }

  /** A multiple of 2^-53 in [0, 1). */
  double() {
    const high = this.next() & 0x1fffff;
    return (high * 2 ** 32 + this.next()) / 2 ** 53;
  }
}

/** The noises of a seed: numbers from N(0, 1), by Box and Muller's method as PyTorch arranges it. */
class SeededNoises {
  constructor(seed) {
    this.twister = new MersenneTwister(seed);
    this.spare = null; // the second number of a pair that was drawn for the first
  }

  /** The next `count` numbers. */
  next(count) {
    return count < 16 ? Float32Array.from({ length: count }, () => this.one()) : this.many(count);
  }

  /** From 16 numbers on: blocks of 16, the i-th with the (i + 8)-th; an unfinished last block is drawn anew. */
  many(count) {
    const values = Float32Array.from({ length: count }, () => this.twister.single());
    for (let start = 0; start + 16 <= count; start += 16) normalBlock(values.subarray(start, start + 16));
    if (count % 16) {
      const last = values.subarray(count - 16);
      for (let i = 0; i < 16; i++) last[i] = this.twister.single();
      normalBlock(last);
    }
    return values;
  }

  /** Below 16 numbers: one after another from pairs, in double precision. */
  one() {
    if (this.spare !== null) {
      const spare = this.spare;
      this.spare = null;
      return spare;
    }
    const angle = 2 * Math.PI * this.twister.double();
    const radius = Math.sqrt(-2 * Math.log1p(-this.twister.double()));
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** Turns 16 uniform numbers into 16 normal ones, in place. */
function normalBlock(values) {
  for (let i = 0; i < 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
    const angle = Math.fround(Math.fround(2 * Math.PI) * values[i + 8]); // in single precision, as there
    values[i] = radius * Math.cos(angle);
    values[i + 8] = radius * Math.sin(angle);
  }
}

/**
 * Spherical interpolation (Shoemake 1985) between two noises, by their angle w:
 * (sin((1 - f) w) start + sin(f w) end) / sin(w). Parallel noises are interpolated on a line.
 */
function slerp(start, end, fraction) {
  let dot = 0, startSquare = 0, endSquare = 0;
  for (let i = 0; i < start.length; i++) {
    dot += start[i] * end[i];
    startSquare += start[i] ** 2;
    endSquare += end[i] ** 2;
  }
  const cosine = dot / Math.sqrt(startSquare * endSquare);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const sine = Math.sin(angle);
  const straight = !(sine >= 2e-3);
  const before = straight ? 1 - fraction : Math.sin((1 - fraction) * angle) / sine;
  const after = straight ? fraction : Math.sin(fraction * angle) / sine;
  return start.map((value, i) => before * value + after * end[i]);
}
