/* The same draws as bayes_mesa/_ext/program_draws.pyx at one theta, as a bare C loop: NumPy's PCG64
 * inlined, the same tables, the same words in the same order, hence the same bytes. No lock, no
 * indirect call per word, no Python: what the sampler could be at most on this compiler. */

#include <stdint.h>

typedef unsigned __int128 uint128_t;

typedef struct {
    uint64_t state_high, state_low, inc_high, inc_low;
} pcg64_words;

/* PCG XSL-RR 128/64 (O'Neill 2014), as numpy/random/src/pcg64: step, then output. */
static inline uint64_t next(uint128_t *state, uint128_t inc) {
    const uint128_t multiplier =
        ((uint128_t)2549297995355413924ULL << 64) + 4865540595714422341ULL;
    *state = *state * multiplier + inc;
    uint64_t folded = (uint64_t)(*state >> 64) ^ (uint64_t)*state;
    unsigned turn = (unsigned)(*state >> 122);
    return (folded >> turn) | (folded << ((-turn) & 63));
}

void draw(const pcg64_words *seed, const uint64_t *cumulative, const int64_t *guide,
          int guide_bits, const int64_t *row_structure, const uint16_t *top,
          const uint64_t *threshold, int64_t n, int64_t num_draws, int64_t *structure,
          uint8_t *stored) {
    uint128_t state = ((uint128_t)seed->state_high << 64) + seed->state_low;
    const uint128_t inc = ((uint128_t)seed->inc_high << 64) + seed->inc_low;
    uint16_t lane[1024];
    for (int64_t d = 0; d < num_draws; d++) {
        uint64_t word = next(&state, inc);
        int64_t row = guide[word >> (64 - guide_bits)];
        while (cumulative[row] < word) row++;
        structure[d] = row_structure[row];
        const uint16_t *t = top + row * n;
        uint8_t *out = stored + d * n;
        uint16_t ties = 0;
        for (int64_t j = 0; j < n; j += 4) {
            word = next(&state, inc);
            lane[j] = (uint16_t)word;
            lane[j + 1] = (uint16_t)(word >> 16);
            lane[j + 2] = (uint16_t)(word >> 32);
            lane[j + 3] = (uint16_t)(word >> 48);
        }
        for (int64_t j = 0; j < n; j++) out[j] = lane[j] < t[j];
        for (int64_t j = 0; j < n; j++) ties |= (uint16_t)-(lane[j] == t[j]);
        if (ties)
            for (int64_t j = 0; j < n; j++)
                if (lane[j] == t[j]) {
                    word = next(&state, inc);
                    out[j] = (word >> 16) < ((threshold[row * n + j] << 16) >> 16);
                }
    }
}
