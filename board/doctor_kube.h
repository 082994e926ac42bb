/* doctor_kube: what doctor_kube.c, doctor_access.c and doctor_credentials.c share. For them alone. */
#ifndef HOLDFAST_DOCTOR_KUBE_H
#define HOLDFAST_DOCTOR_KUBE_H

#include "board/doctor.h"

#include "agents/ingest/agent_resource.h"
#include "net/api/kube/kube.h"

#define CLUSTER_ARENA_BYTES KIB(68) /* one ObsykAgent, and kube.h's own */
#define CLUSTER_AGENTS_MAX  4       /* looked at; the largest profile serves as many */

struct cluster { /* as it is looked at */
    struct doctor *doctor;
    const struct doctor_probe *probe;
    struct lane lane;
    struct kube *kube;
    uint64_t *arena;
    struct obsyk_agent agents[CLUSTER_AGENTS_MAX];
    unsigned agent_count, agents_beyond, agents_bad;
};

/* --- doctor_credentials.c --- */
/* data: PICK_MAP of a Secret's; the caller wipes its arena. */
void doctor_secret(struct cluster *c, const char *subject, const char *name, const struct pick_node *data);
void doctor_credential_files(struct cluster *c); /* with source: config */

/* --- doctor_access.c --- */
/* Asks the API server (SelfSubjectAccessReview) what we may do; each rule that lacks is told with what to add. */
void doctor_access(struct cluster *c);

#endif
