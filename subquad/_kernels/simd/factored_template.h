/* A hidden layer whose pre-activations are H D_j y for blocks j of p neurons each, D_j diagonal:
       forward    z = (H D_1 y, H D_2 y, ...);  outputs = readout phi(z);  bits of what fires
       backward   out = sum_j D_j H w_j  for  w = phi'(z) o (weights readout)
   Without a transform y is z and w is what comes out.

   A few points at a time go through a group of blocks whose signs and readouts are in the
   first-level cache; a point's numbers never leave it. The sums of a point run over the groups in
   order, whatever points it shares a call with. */
#include "hadamard_template.h"
#include "lanes_above.h"
#include "lanes_kept.h"

#define POINTS 8 /* that share a group */

typedef SQ_JOIN(factored_layer, SQ_DTYPE) NAME(fl);

static inline double NAME(sum_lanes)(vec v) {
    double sum = 0;
    for (int k = 0; k < LANES; k++) sum += v[k];
    return sum;
}

/* a . b over n reals, a multiple of 4 LANES. */
static inline double NAME(dot)(const real *a, const real *b, ptrdiff_t n) {
    vec s[4] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
    for (ptrdiff_t r = 0; r < n; r += 4 * LANES)
        for (int v = 0; v < 4; v++) s[v] += load(a + r + v * LANES) * load(b + r + v * LANES);
    return NAME(sum_lanes)((s[0] + s[1]) + (s[2] + s[3]));
}

#include "factored_registers.h"

static int NAME(log2_of)(ptrdiff_t p) {
    int log_size = 0;
    while ((ptrdiff_t)1 << log_size < p) log_size++;
    return log_size;
}

/* z = H D_j y for the blocks of a group of n neurons. */
static inline void NAME(mix_forward)(
    const NAME(fl) *layer, const real *y, const real *signs, ptrdiff_t n, int log_p, real *z) {
    for (ptrdiff_t first = 0; first < n; first += layer->p)
        for (ptrdiff_t i = 0; i < layer->p; i++) z[first + i] = y[i] * signs[first + i];
    NAME(hadamard_rows)(z, layer->p, z, layer->p, 1, log_p, n / layer->p, 1, 0);
}

/* out += sum_j D_j H w_j over the blocks of a group; w is overwritten. */
static inline void NAME(mix_backward)(
    const NAME(fl) *layer, real *w, const real *signs, ptrdiff_t n, int log_p, real *out) {
    NAME(hadamard_rows)(w, layer->p, w, layer->p, 1, log_p, n / layer->p, 1, 0);
    for (ptrdiff_t first = 0; first < n; first += layer->p)
        for (ptrdiff_t i = 0; i < layer->p; i++) out[i] += w[first + i] * signs[first + i];
}

/* phi(z), in place or not, and the bits of what fires. */
static inline void NAME(respond)(
    const real *z, real *phi, ptrdiff_t n, real threshold, real jump, uint64_t *fired) {
    const vec tau = broadcast(threshold), back = broadcast(jump);
    for (ptrdiff_t r = 0; r < n; r += 64) {
        uint64_t word = 0;
        for (int k = 0; k < 64; k += (int)LANES) {
            const vec above = load(z + r + k) - tau;
            const uint64_t bits = NAME(lanes_above)(above, broadcast(0));
            store(phi + r + k, NAME(keep_lanes)(above + back, bits));
            word |= bits << k;
        }
        fired[r / 64] = word;
    }
}

/* The response of one point's group of n neurons from `first` on; padding may seem to fire. */
static void NAME(respond_group)(
    const NAME(fl) *layer, const real *x, ptrdiff_t first, ptrdiff_t n, int log_p, real threshold,
    double *outputs, uint64_t *fired, real *scratch) {
    const ptrdiff_t m = layer->m, C = layer->n_outputs;
    const real jump = layer->jumps ? threshold : 0;
    const real *signs = layer->signs ? layer->signs + first : NULL;
    const real *readout = layer->readout + first;
#define RESPOND(count)                                                                             \
    *outputs += NAME(respond_in_registers)(x, signs, readout, n, threshold, jump, fired, count)
    switch (C == 1 ? NAME(vectors_of_block)(layer) : 0) {
    case 4: RESPOND(4); return;
    case 8: RESPOND(8); return;
#if SQ_LEVEL == SQ_AVX512
    case 16: RESPOND(16); return;
#endif
    }
#undef RESPOND
    if (signs) NAME(mix_forward)(layer, x, signs, n, log_p, scratch);
    NAME(respond)(signs ? scratch : x + first, scratch, n, threshold, jump, fired);
    for (ptrdiff_t c = 0; c < C; c++) outputs[c] += NAME(dot)(scratch, readout + c * m, n);
}

static void NAME(factored_forward)(
    const NAME(fl) *layer, const real *x, const real *thresholds, ptrdiff_t count,
    const uint64_t *before, double *outputs, uint64_t *fired, ptrdiff_t *active,
    ptrdiff_t *flips, real *scratch) {
    const ptrdiff_t m = layer->m, words = m / 64, C = layer->n_outputs, p = layer->p;
    const ptrdiff_t group = layer->signs && p > SQ_FACTORED_GROUP ? p : SQ_FACTORED_GROUP;
    const int log_p = NAME(log2_of)(p);
    for (ptrdiff_t k = 0; k < count * C; k++) outputs[k] = 0;
    for (ptrdiff_t chunk = 0; chunk < count; chunk += POINTS)
        for (ptrdiff_t r = 0; r < m; r += group) {
            const ptrdiff_t n = m - r < group ? m - r : group;
            for (ptrdiff_t i = chunk; i < chunk + POINTS && i < count; i++)
                NAME(respond_group)(layer, x + i * p, r, n, log_p, thresholds[i], outputs + i * C,
                                    fired + i * words + r / 64, scratch);
        }
    for (ptrdiff_t i = 0; i < count; i++, fired += words, before += words) {
        for (ptrdiff_t w = layer->neurons / 64; w < words; w++)
            fired[w] &= w > layer->neurons / 64 ? 0 : ((uint64_t)1 << layer->neurons % 64) - 1;
        active[i] = flips[i] = 0;
        for (ptrdiff_t w = 0; w < words; w++) {
            active[i] += __builtin_popcountll(fired[w]);
            flips[i] += __builtin_popcountll(before[w] ^ fired[w]);
        }
    }
}

/* w = sum_c weights[c] readout[c] where a neuron fires. */
static inline void NAME(gate)(
    const NAME(fl) *layer, ptrdiff_t first, ptrdiff_t n, const double *weights,
    const uint64_t *fired, real *w) {
    const ptrdiff_t m = layer->m, C = layer->n_outputs;
    for (ptrdiff_t r = 0; r < n; r += 64) {
        const uint64_t word = fired[r / 64];
        for (int k = 0; k < 64; k += (int)LANES) {
            const real *readout = layer->readout + first + r + k;
            vec sum = (real)weights[0] * load(readout);
            for (ptrdiff_t c = 1; c < C; c++) sum += (real)weights[c] * load(readout + c * m);
            store(w + r + k, NAME(keep_lanes)(sum, word >> k));
        }
    }
}

/* One point's group of n neurons from `first` on, pulled back to out. */
static void NAME(pull_group)(
    const NAME(fl) *layer, ptrdiff_t first, ptrdiff_t n, int log_p, const double *weights,
    const uint64_t *fired, real *out, real *scratch) {
#define PULL(count) NAME(gate_in_registers)(layer, first, n, weights, fired, out, count)
    switch (NAME(vectors_of_block)(layer)) {
    case 4: PULL(4); return;
    case 8: PULL(8); return;
#if SQ_LEVEL == SQ_AVX512
    case 16: PULL(16); return;
#endif
    }
#undef PULL
    NAME(gate)(layer, first, n, weights, fired, layer->signs ? scratch : out + first);
    if (layer->signs) NAME(mix_backward)(layer, scratch, layer->signs + first, n, log_p, out);
}

static void NAME(factored_backward)(
    const NAME(fl) *layer, const uint64_t *fired, const double *weights, ptrdiff_t count,
    real *out, real *scratch) {
    const ptrdiff_t m = layer->m, words = m / 64, C = layer->n_outputs, p = layer->p;
    const ptrdiff_t group = layer->signs && p > SQ_FACTORED_GROUP ? p : SQ_FACTORED_GROUP;
    const int log_p = NAME(log2_of)(p);
    if (layer->signs)
        for (ptrdiff_t k = 0; k < count * p; k++) out[k] = 0;
    for (ptrdiff_t chunk = 0; chunk < count; chunk += POINTS)
        for (ptrdiff_t r = 0; r < m; r += group) {
            const ptrdiff_t n = m - r < group ? m - r : group;
            for (ptrdiff_t i = chunk; i < chunk + POINTS && i < count; i++) {
                NAME(pull_group)(layer, r, n, log_p, weights + i * C,
                                 fired + i * words + r / 64, out + i * p, scratch);
            }
        }
}

#undef POINTS
