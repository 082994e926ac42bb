#include "net/format/rfc3339.h"

#include "net/format/civil.h"

#include <string.h>

/* Takes `digits` digits and then `after` (0: nothing). */
static bool number_take(struct bytes *in, size_t digits, char after, int *out)
{
    uint64_t value;
    size_t all = digits + (after != 0);
    if (in->len < all || !text_to_u64((struct bytes){in->at, digits}, &value) || (after && in->at[digits] != (uint8_t)after))
        return false;
    *out = (int)value;
    *in = bytes_after(*in, all);
    return true;
}

static bool fraction_skip(struct bytes *in)
{
    if (in->len == 0 || (in->at[0] != '.' && in->at[0] != ','))
        return true;
    size_t len = 1;
    while (len < in->len && in->at[len] >= '0' && in->at[len] <= '9')
        len++;
    *in = bytes_after(*in, len);
    return len > 1;
}

/* "Z" or "+02:00", to the end */
static bool offset_take(struct bytes in, int *seconds)
{
    int hours, minutes;
    *seconds = 0;
    if (in.len == 1)
        return in.at[0] == 'Z';
    if (in.len != 6 || (in.at[0] != '+' && in.at[0] != '-'))
        return false;
    int sign = in.at[0] == '-' ? -1 : 1;
    in = bytes_after(in, 1);
    if (!number_take(&in, 2, ':', &hours) || !number_take(&in, 2, 0, &minutes) || hours > 24 || minutes > 59)
        return false;
    *seconds = sign * (hours * 60 + minutes) * 60;
    return true;
}

bool rfc3339_read(struct bytes in, int64_t *epoch_s)
{
    int year, month, day, hour, minute, second, offset;
    bool whole = number_take(&in, 4, '-', &year) && number_take(&in, 2, '-', &month) && number_take(&in, 2, 'T', &day) &&
                 number_take(&in, 2, ':', &hour) && number_take(&in, 2, ':', &minute) && number_take(&in, 2, 0, &second);
    if (!whole || !fraction_skip(&in) || !offset_take(in, &offset) || !civil_is_valid(year, month, day, hour, minute, second))
        return false;
    *epoch_s = civil_days(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    return true;
}
