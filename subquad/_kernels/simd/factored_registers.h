/* Blocks of 4, 8 or 16 vectors: they stay in registers between the transform and the rest. */
#define INLINE static inline __attribute__((always_inline))
#define LOG_OF_LANES (LANES == 16 ? 4 : LANES == 8 ? 3 : LANES == 4 ? 2 : 1)

/* Vectors of a block that is worked on so, or 0: whole bytes of bits, whole words of neurons. */
static int NAME(vectors_of_block)(const NAME(fl) *layer) {
    const ptrdiff_t count = layer->p / LANES;
    if (!layer->signs || LANES < 8 || layer->p < 64) return 0;
    return count <= (SQ_LEVEL == SQ_AVX512 ? 16 : 8) ? (int)count : 0;
}

/* v = H v for `count` vectors. */
INLINE void NAME(mix_block)(vec *v, const int count) {
    NAME(mix_lanes)(v, count, LOG_OF_LANES);
    NAME(mix)(v, count, 0);
}

/* What mix_forward, respond and dot do for n neurons, with one output, but for neurons that are
   not there. */
INLINE double NAME(respond_in_registers)(
    const real *y, const real *signs, const real *readout, ptrdiff_t n, real threshold, real jump,
    uint64_t *fired, const int count) {
    const vec tau = broadcast(threshold), back = broadcast(jump);
    vec sum[2] = {broadcast(0), broadcast(0)};
    for (ptrdiff_t first = 0; first < n; first += count * LANES) {
        vec v[16];
        for (int r = 0; r < count; r++)
            v[r] = load(y + r * LANES) * load(signs + first + r * LANES);
        NAME(mix_block)(v, count);
        for (int r = 0; r < count; r++) {
            const ptrdiff_t neuron = first + r * LANES;
            const vec above = v[r] - tau;
            const uint64_t bits = NAME(lanes_above)(above, broadcast(0));
            sum[r % 2] += NAME(keep_lanes)(above + back, bits) * load(readout + neuron);
            __builtin_memcpy((char *)fired + neuron / 8, &bits, LANES / 8); /* little-endian */
        }
    }
    return NAME(sum_lanes)(sum[0] + sum[1]);
}

/* What gate and mix_backward do for n neurons. */
INLINE void NAME(gate_in_registers)(
    const NAME(fl) *layer, ptrdiff_t at, ptrdiff_t n, const double *weights,
    const uint64_t *fired, real *out, const int count) {
    for (ptrdiff_t first = 0; first < n; first += count * LANES) {
        vec v[16];
        for (int r = 0; r < count; r++) {
            const ptrdiff_t neuron = first + r * LANES;
            const real *readout = layer->readout + at + neuron;
            vec sum = (real)weights[0] * load(readout);
            for (ptrdiff_t c = 1; c < layer->n_outputs; c++)
                sum += (real)weights[c] * load(readout + c * layer->m);
            v[r] = NAME(keep_lanes)(sum, fired[neuron / 64] >> (neuron % 64));
        }
        NAME(mix_block)(v, count);
        for (int r = 0; r < count; r++)
            store(out + r * LANES, load(out + r * LANES)
                      + v[r] * load(layer->signs + at + first + r * LANES));
    }
}

#undef INLINE
#undef LOG_OF_LANES
