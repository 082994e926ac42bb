#include "tests/support/certs.h"

#include <stdio.h>
#include <stdlib.h>

#define PEM_BYTES_MAX KIB(40)

static const char *const files[CERT_COUNT] = {
#define X(id, file) [CERT_##id] = file,
    CERT_TABLE(X)
#undef X
};
static uint8_t pem[CERT_COUNT][PEM_BYTES_MAX];
static size_t lens[CERT_COUNT];

static const char script[] =
    "set -e; cd \"$1\"; exec >/dev/null 2>&1; ec='openssl ecparam -name prime256v1 -genkey -noout -out'\n"
    "printf 'subjectAltName=DNS:etcd.test,IP:10.0.0.1,IP:fd00::1\\n' > names\n"
    "ca() { $ec $1.key; openssl req -x509 -new -key $1.key -subj /CN=$1 -days 30 -out $1.pem; }\n"
    "sign() { openssl req -new -key $2 -subj /CN=$1 | openssl x509 -req -CA ${4:-ca}.pem -CAkey ${4:-ca}.key -CAcreateserial"
    " -days $3 -extfile names -out $1.pem; }\n"
    "ca ca; ca other_ca; $ec server.key; $ec client.key; $ec next.key\n"
    "sign server server.key 30; sign client client.key 30; sign next next.key 30; sign stranger client.key 30 other_ca\n"
    "sign ended server.key 0\n"
    "openssl genrsa -traditional -out rsa.key 2048 || openssl genrsa -out rsa.key 2048; sign rsa rsa.key 30\n"
    "openssl pkcs8 -topk8 -nocrypt -in rsa.key -out rsa.p8; openssl pkcs8 -topk8 -nocrypt -in server.key -out server.p8\n"
    "openssl pkcs8 -topk8 -passout pass:secret -in rsa.key -out rsa.locked\n"
    "cat server.pem > long.pem; for i in 1 2; do cat client.pem next.pem rsa.pem other_ca.pem >> long.pem; "
    "done\n";

static bool file_take(const char *folder, enum cert which)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, files[which]);
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    lens[which] = fread(pem[which], 1, PEM_BYTES_MAX, f);
    (void)fclose(f);
    return lens[which] > 0 && lens[which] < PEM_BYTES_MAX;
}

static bool take_all(const char *folder)
{
    bool there = true;
    for (enum cert i = 0; i < CERT_COUNT && there; i++)
        there = file_take(folder, i);
    return there;
}

static bool run_in(const char *folder, const char *what)
{
    char command[sizeof script + 256];
    (void)snprintf(command, sizeof command, "set -- '%s'\n%s", folder, what);
    return system(command) == 0;
}

bool certs_make(void)
{
    char fresh[] = "/tmp/certs-XXXXXX";
    const char *kept = getenv("CERTS");
    static bool made;
    if (made || (kept && take_all(kept)))
        return made = true;
    if (!kept && !mkdtemp(fresh))
        return false;
    const char *folder = kept ? kept : fresh;
    made = run_in(folder, "mkdir -p \"$1\"") && run_in(folder, script) && take_all(folder);
    return (kept || run_in(folder, "rm -rf \"$1\"")) && made;
}

struct bytes cert(enum cert which)
{
    return (struct bytes){pem[which], lens[which]};
}

struct secret cert_key(enum cert which)
{
    return (struct secret){pem[which], lens[which]};
}
