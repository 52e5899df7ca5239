/* One vector of reals of the current level, by the compiler's own vector types. */
#define LANES (SQ_BYTES / (ptrdiff_t)sizeof(real))
#define vec NAME(sq_vec)
#define load NAME(sq_load)
#define store NAME(sq_store)
#define broadcast NAME(sq_broadcast)

typedef real vec __attribute__((vector_size(SQ_BYTES)));

static inline vec load(const real *p) {
    vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(real *p, vec v) { __builtin_memcpy(p, &v, sizeof v); }

static inline vec broadcast(real x) { return x - (vec){0}; }
