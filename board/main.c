/* main: the wiring table of commands. What each does is in its own file. */
#include "board/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"run", "run the hub: backups on schedule, /metrics, /healthz, /readyz", "cpwu", command_hub, NULL, NULL},
    {"check", "tell whether the configuration is good, and what it means", "coP", command_check, NULL, NULL},
    {"doctor", "look at all the configuration names: certificates, peers, buckets, room, clock", "cpo", command_doctor, NULL,
     NULL},
    {"backup now", "take a snapshot into every destination, now", "cpodv", command_backup_now, NULL, "24"},
    {"backup list", "list the snapshots of every destination, oldest first", "cpod", command_backup_list, NULL, NULL},
    {"backup verify", "tell whether a snapshot is good, down to its last key", "copvI", command_backup_verify, "BACKUP", "1234"},
    {"backup restore", "read a snapshot back, decrypt, decompress and verify it, and write it as a plain file", "cpoIT",
     command_backup_restore, "BACKUP", NULL},
    {"backup rehearse", "read the newest snapshot of every destination, or of one, back and verify it", "cpo",
     command_backup_rehearse, "[DESTINATION]", NULL},
    {"backup prune", "remove the snapshots that the destinations' rules do not keep", "cpodn", command_backup_prune, NULL, NULL},
    {"backup retention", "explain which backups stay and which go, by which rule; removes nothing", "cpokidte",
     command_backup_retention, NULL, NULL},
    {"ingest status", "show what a running hub streams: kinds, spool, token, refused events", "cpo", command_ingest_status, NULL,
     NULL},
    {"etcd status", "show etcd's members: size, leader, lag, alarms, certificates", "cpo", command_etcd_status, NULL, NULL},
    {"etcd defrag", "defragment members by the rules, one by one, the leader last", "cponasb", command_etcd_defrag, NULL, NULL},
    {"crd", "print the CustomResourceDefinitions the hub understands, for kubectl apply -f -", "", command_crd, "[NAME]", NULL},
    {"ingest preview",
     "show, byte for byte, what of the objects on standard input or in FILE would leave the cluster\n"
     "\n"
     "One JSON object a line, one line out for each:\n"
     "  {\"kind\":K,\"object\":{}}                                    the object's Info\n"
     "  {\"type\":\"added|modified|deleted\",\"kind\":K,\"object\":{}}  the event\n"
     "  {\"heartbeat\":{}}                                          the heartbeat\n"
     "  {\"snapshot\":[{\"kind\":K,\"object\":{}}]}                   the snapshot\n"
     "A line has at most 8 MiB, and what the profile has room for. Empty lines are passed over. A bad line is told as\n"
     "`line N: ...`, the rest goes on, and the exit code is 1. With -k it reads what kubectl prints, of any size.",
     "pKEUNV", command_ingest_preview, "[FILE]", NULL},
    {"budget", "print what the board profile gives to each task", "po", command_budget, NULL, NULL},
    {"top", "watch a running hub: tasks, heaps, stacks, connections", "c", command_top, NULL, NULL},
    {"version", "print the version; --licenses prints the licences of all parts", "l", command_version, NULL, NULL},
    {0},
};

/* What a program was to read and did not get is no success. */
static int finish(enum exit_code code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return (int)code;
    (void)fprintf(stderr, "holdfast: the output could not be written: %s\n", strerror(errno));
    return code == EXIT_GOOD ? EXIT_BAD : (int)code;
}

int main(int argc, char **argv)
{
    struct command_line line;
    if (command_parse(argc, argv, &line) != OK)
        return EXIT_WRONG_USE;
    if (line.help || !line.command) {
        command_help(line.command);
        return finish(line.help ? EXIT_GOOD : EXIT_WRONG_USE);
    }
    return finish(line.command->run(&line));
}
