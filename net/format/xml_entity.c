/* xml_entity: XML's own entities and numbers, as UTF-8. */
#include "net/format/xml_inside.h"

#include "net/format/hex.h"

#include <string.h>

static size_t utf8_put(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(lead[len] | code);
    return len;
}

/* "#38" or "#x26", XML 1.0 4.1. */
static bool number_read(const char *text, uint32_t *out)
{
    unsigned base = text[1] == 'x' ? 16 : 10;
    *out = 0;
    if (!text[base == 16 ? 2 : 1])
        return false;
    for (const char *c = text + (base == 16 ? 2 : 1); *c; c++) {
        int digit = hex_digit((uint8_t)*c);
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        *out = *out * base + (unsigned)digit;
        if (*out > 0x10FFFF)
            return false;
    }
    bool surrogate = *out >= 0xD800 && *out <= 0xDFFF;
    return *out > 0 && !surrogate;
}

static bool entity_read(const char *name, uint32_t *out)
{
    static const struct {
        const char *name;
        char is;
    } own[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    if (name[0] == '#')
        return number_read(name, out);
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (strcmp(name, own[i].name) == 0) {
            *out = (uint8_t)own[i].is;
            return true;
        }
    return false;
}

size_t xml_entity(const char *name, uint8_t out[4])
{
    uint32_t code = 0;
    return entity_read(name, &code) ? utf8_put(code, out) : 0;
}
