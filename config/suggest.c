#include "config/suggest.h"

#include <string.h>

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

/* Optimal string alignment: inserting, dropping, changing a letter, or swapping two neighbours, costs 1 each. */
static size_t distance(struct bytes a, struct bytes b)
{
    size_t rows[3][SUGGEST_BYTES_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = lower(a.at[i - 1]) == lower(b.at[j - 1]);
            now[j] = size_min(size_min(before[j] + 1, now[j - 1] + 1), before[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && lower(a.at[i - 1]) == lower(b.at[j - 2]) && lower(a.at[i - 2]) == lower(b.at[j - 1]))
                now[j] = size_min(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

struct suggestion suggest_start(struct bytes wrong)
{
    return (struct suggestion){.wrong = wrong};
}

void suggest_offer(struct suggestion *s, const char *word)
{
    struct bytes right = bytes_of(word);
    if (s->wrong.len > SUGGEST_BYTES_MAX || right.len > SUGGEST_BYTES_MAX)
        return;
    size_t far = 1 + size_max(s->wrong.len, right.len) / 4, d = distance(s->wrong, right);
    if (d > far || d >= size_max(s->wrong.len, right.len) || (s->best && d >= s->distance))
        return;
    s->best = word;
    s->distance = d;
}
