/* The pre-activations of a run of neurons after a step, who fires, and what comes out.

   For each neuron r (a row over the n data points, padded to ld) with base = Z0 - tau:
       new_change = keep * change + readout[r] * sum of weights[j] K[j, :] over the j where r fired
       fires      = base + new_change > 0
       outputs   += readout[r] * fires * (base + new_change + jump)
       linear    += readout[r] * fires * new_change
   K is stored in tiles (tile, j, point) whose points are SQ_TILE_BYTES of reals. One tile at a time
   is weighted, into `moves`, and stays in the cache while all neurons of the run use it. base +
   change is summed in double: in float32 the change is kept apart from Z0, whose last place would
   otherwise bound the residual. */
#include "lanes_above.h"

typedef double NAME(dvec) __attribute__((vector_size(SQ_BYTES)));
typedef int64_t NAME(ivec) __attribute__((vector_size(SQ_BYTES)));

static inline NAME(dvec) NAME(load_double)(const double *p) {
    NAME(dvec) v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

/* The next SQ_BYTES / 8 reals as doubles. */
static inline NAME(dvec) NAME(load_as_double)(const real *p) {
#if SQ_IS_F32
    typedef float half __attribute__((vector_size(SQ_BYTES / 2)));
    half v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, NAME(dvec));
#else
    return NAME(load_double)(p);
#endif
}

static inline void NAME(add_response)(
    const real *base, const real *change, double readout, const double *jump, double *outputs,
    double *linear) {
    NAME(dvec) moved = NAME(load_as_double)(change);
    NAME(dvec) z = NAME(load_as_double)(base) + moved;
    NAME(ivec) fires = z > 0;
    if (jump) z += NAME(load_double)(jump);
    NAME(dvec) sum = NAME(load_double)(outputs) + readout * (NAME(dvec))((NAME(ivec))z & fires);
    __builtin_memcpy(outputs, &sum, sizeof sum);
    if (linear) {
        sum = NAME(load_double)(linear) + readout * (NAME(dvec))((NAME(ivec))moved & fires);
        __builtin_memcpy(linear, &sum, sizeof sum);
    }
}

/* One neuron over `vectors` vectors of points that begin at point `first`, and over words `from` to
   `to` of who fired: new_change has the sum until the last of `words`. */
static inline __attribute__((always_inline)) void NAME(move_points)(
    const real *base, const real *change, const uint64_t *fired, ptrdiff_t from, ptrdiff_t to,
    ptrdiff_t words, const real *moves, ptrdiff_t stride, double readout, double keep,
    const double *jump, ptrdiff_t first, real *new_change, uint64_t *new_fired, double *outputs,
    double *linear, const int vectors) {
    vec sum[8];
    for (int v = 0; v < vectors; v++)
        sum[v] = from ? load(new_change + first + v * LANES) : broadcast(0);
    for (ptrdiff_t w = from; w < to; w++)
        for (uint64_t bits = fired[w]; bits; bits &= bits - 1) {
            const real *move = moves + (64 * w + __builtin_ctzll(bits)) * stride;
            for (int v = 0; v < vectors; v++) sum[v] += load(move + v * LANES);
        }
    if (to < words) {
        for (int v = 0; v < vectors; v++) store(new_change + first + v * LANES, sum[v]);
        return;
    }
    for (int v = 0; v < vectors; v++) {
        ptrdiff_t i = first + v * LANES;
        vec moved = (real)keep * load(change + i) + (real)readout * sum[v];
        store(new_change + i, moved);
        new_fired[i / 64] |= NAME(lanes_above)(load(base + i) + moved, broadcast(0)) << (i % 64);
        for (ptrdiff_t k = i; k < i + LANES; k += SQ_BYTES / 8)
            NAME(add_response)(base + k, new_change + k, readout, jump ? jump + k : NULL,
                               outputs + k, linear ? linear + k : NULL);
    }
}

/* Returns how many of the count * n bits differ between fired and new_fired. */
static ptrdiff_t NAME(move_neurons)(
    const real *base, const real *change, const uint64_t *fired, const double *gram,
    const double *weights, const double *readout, double keep, const double *jump,
    ptrdiff_t count, ptrdiff_t n, ptrdiff_t ld, real *new_change, uint64_t *new_fired,
    double *outputs, double *linear, real *moves) {
    const ptrdiff_t words = (n + 63) / 64, tile = SQ_TILE_BYTES / (ptrdiff_t)sizeof(real);
    for (ptrdiff_t k = 0; k < count * words; k++) new_fired[k] = 0;
    for (ptrdiff_t first = 0; first < ld; first += tile) {
        const ptrdiff_t width = ld - first < tile ? ld - first : tile;
        const double *rows = gram + first * n;
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t i = 0; i < width; i++)
                moves[j * width + i] = (real)(weights[j] * rows[j * width + i]);
        for (ptrdiff_t from = 0; from < words; from += SQ_WORDS_PER_PASS) {
            const ptrdiff_t left = words - from;
            const ptrdiff_t to = from + (left < SQ_WORDS_PER_PASS ? left : SQ_WORDS_PER_PASS);
            for (ptrdiff_t r = 0; r < count; r++)
                for (ptrdiff_t i = 0; i < width; i += 8 * LANES) {
                    const ptrdiff_t vectors = (width - i) / LANES;
#define MOVE(vectors)                                                                             \
    NAME(move_points)(base + r * ld, change + r * ld, fired + r * words, from, to, words,          \
                      moves + i, width, readout[r], keep, jump, first + i, new_change + r * ld,    \
                      new_fired + r * words, outputs, linear, vectors)
                    switch (vectors) {
                    case 1: MOVE(1); break;
                    case 2: MOVE(2); break;
                    case 3: MOVE(3); break;
                    case 4: MOVE(4); break;
                    case 5: MOVE(5); break;
                    case 6: MOVE(6); break;
                    case 7: MOVE(7); break;
                    default: MOVE(8);
                    }
                }
        }
#undef MOVE
    }
    ptrdiff_t flips = 0;
    for (ptrdiff_t k = 0; k < count * words; k++)
        flips += __builtin_popcountll(fired[k] ^ new_fired[k]);
    return flips;
}
