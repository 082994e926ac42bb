/* What leaves the cluster, byte for byte: the platform's protocol, sections 3.0 to 3.20 and acceptance cases AC-25 to AC-67. A '
 * in these tables stands for ". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agents/ingest/envelope.h"
#include "agents/ingest/info_inside.h"
#include "board/rt/mem.h"
#include "net/format/json_write.h"
#include "net/format/quantity.h"
#include "net/format/rfc3339.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES KIB(64)
#define TEXT_BYTES  KIB(8)

static uint64_t arena[ARENA_BYTES / sizeof(uint64_t)];

static const char *quoted(const char *s, char *out)
{
    size_t n = 0;
    for (; *s; s++)
        out[n++] = (char)(*s == '\'' ? '"' : *s);
    ASSERT(n < TEXT_BYTES);
    out[n] = 0;
    return out;
}

/* Reads `json` in pieces of at most `piece` bytes. */
static err pick(struct json_pick *p, enum ingest_kind kind, struct bytes json, size_t piece)
{
    bool done = false;
    size_t used;
    json_pick_open(p,
                   &(struct json_pick_options){.fields = ingest_kinds[kind].fields, .arena = arena, .arena_bytes = ARENA_BYTES});
    while (json.len > 0 && !done) {
        TRY(json_pick_feed(p, (struct bytes){json.at, size_min(json.len, piece)}, &used, &done));
        json = bytes_after(json, used);
    }
    return done ? json_pick_end(p) : E_CORRUPT;
}

/* --- the twenty kinds --- */
#define META   "'metadata':{'uid':'u','name':'n','namespace':'s','creationTimestamp':'2024-01-15T10:30:00Z'}"
#define CMETA  "'metadata':{'uid':'u','name':'n','creationTimestamp':'2024-01-15T10:30:00Z'}"
#define HEAD   "{'uid':'u','name':'n','namespace':'s',"
#define CHEAD  "{'uid':'u','name':'n',"
#define TAIL   "'k8s_created_at':'2024-01-15T10:30:00Z'}"
#define NOUGHT "'k8s_created_at':'0001-01-01T00:00:00Z'}"

static const struct {
    const char *name;
    enum ingest_kind kind;
    const char *object, *want;
} infos[] = {
    {"AC-25 namespace", INGEST_NAMESPACE,
     "{'metadata':{'name':'prod','uid':'ns-1','resourceVersion':'7','labels':{'team':'a','env':'prod'},'annotations':{'note':'x',"
     "'kubectl.kubernetes.io/last-applied-configuration':'{}'},'creationTimestamp':'2024-01-15T10:30:00Z'},'status':{'phase':"
     "'Active'}}",
     "{'uid':'ns-1','name':'prod','labels':{'env':'prod','team':'a'},'annotations':{'note':'x'},'phase':'Active'," TAIL},
    {"AC-67 ns-min: no creation time", INGEST_NAMESPACE, "{'metadata':{'name':'x','uid':'y'}}", "{'uid':'y','name':'x'," NOUGHT},
    {"null is absent", INGEST_NAMESPACE,
     "{'metadata':{'name':'x','uid':null,'labels':null,'creationTimestamp':null},'status':null,'spec':null}",
     "{'uid':'','name':'x'," NOUGHT},
    {"nothing at all", INGEST_POD, "{}", "{'uid':'','name':'','namespace':''," NOUGHT},
    {"AC-26 two containers", INGEST_POD,
     "{" META ",'spec':{'nodeName':'w1','containers':[{'name':'b','image':'b:1'},{'name':'a','image':'a:2'}]},'status':{'phase':"
     "'Running'}}",
     HEAD
     "'node_name':'w1','phase':'Running','containers':[{'name':'b','image':'b:1','ready':false,'restart_count':0,'resources':{"
     "}},{'name':'a','image':'a:2','ready':false,'restart_count':0,'resources':{}}]," TAIL},
    {"AC-27 a rich pod; no value of env", INGEST_POD,
     "{'apiVersion':'v1','kind':'Pod',"
     "'metadata':{'uid':'u','name':'n','namespace':'s','labels':{'app':'web'},'annotations':{'kubernetes.io/x':'1','a':'b'},"
     "'ownerReferences':[{'kind':'ReplicaSet','name':'r'}],'creationTimestamp':'2024-01-15T10:30:00Z'},'spec':{'nodeName':'w1',"
     "'serviceAccountName':'sa','priorityClassName':'high','containers':[{'name':'web','image':'nginx:1.25','resources':{"
     "'requests':{'cpu':'100m','memory':'128Mi','ephemeral-storage':'1Gi'},'limits':{'cpu':'1000m','memory':'2048Mi'}},'ports':[{"
     "'containerPort':8080,'protocol':'TCP','name':'http','hostPort':80},{'containerPort':9090}],'volumeMounts':[{'name':'data',"
     "'mountPath':'/data','readOnly':true,'subPath':'x'},{'name':'tmp','mountPath':'/tmp'}],'env':[{'name':'PASSWORD','value':"
     "'hunter2'},{'name':'FROM','valueFrom':{'secretKeyRef':{'name':'s','key':'k'}}}],'envFrom':[{'secretRef':{'name':'all'}}],"
     "'args':['--token=x'],'securityContext':{'privileged':true,'runAsUser':0,'capabilities':{'add':['NET_ADMIN','SYS_TIME'],"
     "'drop':['ALL']}}}],'initContainers':[{'name':'init','image':'busybox'}],'volumes':[{'name':'data','configMap':{'name':'c'}}"
     "]}"
     ",'status':{'phase':'Running','qosClass':'Burstable','hostIP':'10.0.0.1','podIP':'10.1.0.1','podIPs':[{'ip':'10.1.0.1'}],"
     "'conditions':[{'type':'Ready','status':'True','reason':'r'},{'type':'Initialized','status':'False'}],'containerStatuses':[{"
     "'name':'web','ready':true,'restartCount':3,'image':'sha','state':{'running':{'startedAt':'2024-01-15T10:30:00Z'}}}],"
     "'initContainerStatuses':[{'name':'init','ready':true,'state':{'terminated':{'exitCode':0}}}]}}",
     "{'uid':'u','name':'n','namespace':'s','labels':{'app':'web'},'annotations':{'a':'b'},'node_name':'w1','service_account':'"
     "sa',"
     "'phase':'Running','qos_class':'Burstable','priority_class_name':'high','host_ip':'10.0.0.1','pod_ip':'10.1.0.1',"
     "'conditions':[{'type':'Ready','status':'True'},{'type':'Initialized','status':'False'}],'containers':[{'name':'web','image'"
     ":"
     "'nginx:1.25','state':'running','ready':true,'restart_count':3,'resources':{'cpu_request':'100m','cpu_limit':'1',"
     "'memory_request':'128Mi','memory_limit':'2Gi'},'ports':[{'container_port':8080,'protocol':'TCP','name':'http'},{"
     "'container_port':9090}],'volume_mounts':[{'name':'data','mount_path':'/data','read_only':true},{'name':'tmp','mount_path':"
     "'/tmp','read_only':false}],'env_var_names':['PASSWORD','FROM'],'security_context':{'privileged':true,'run_as_root':true,"
     "'capabilities':['NET_ADMIN','SYS_TIME']}}],'init_containers':[{'name':'init','image':'busybox','state':'terminated','ready'"
     ":"
     "true,'restart_count':0,'resources':{}}],'volumes':[{'name':'data','type':'configMap','source':'c'}]," TAIL},
    {"AC-28 states; by name, not by place", INGEST_POD,
     "{" META
     ",'spec':{'containers':[{'name':'a'},{'name':'b'},{'name':'c'},{'name':'d'}]},'status':{'containerStatuses':[{'name':"
     "'c','state':{'terminated':{}}},{'name':'b','state':{'waiting':{'reason':'CrashLoopBackOff'}},'restartCount':9},{'name':'a',"
     "'state':{'running':{}},'ready':true},{'name':'d','state':{}}]}}",
     HEAD "'containers':[{'name':'a','image':'','state':'running','ready':true,'restart_count':0,'resources':{}},{'name':'b',"
          "'image':'','state':'waiting','ready':false,'restart_count':9,'resources':{}},{'name':'c','image':'','state':"
          "'terminated','ready':false,'restart_count':0,'resources':{}},{'name':'d','image':'','ready':false,'restart_count':0,"
          "'resources':{}}]," TAIL},
    {"AC-29 volumes", INGEST_POD,
     "{" META
     ",'spec':{'volumes':[{'name':'1','emptyDir':{}},{'name':'2','configMap':{'name':'c','defaultMode':420}},{'name':'3',"
     "'secret':{'secretName':'x'}},{'name':'4','persistentVolumeClaim':{'claimName':'p'}},{'name':'5','hostPath':{'path':'/"
     "h','type'"
     ":''}},{'name':'6','projected':{'sources':[]}},{'name':'7','downwardAPI':{'items':[]}},{'name':'8','csi':{'driver':'d.io'}},"
     "{"
     "'name':'9','nfs':{'server':'nas','path':'/"
     "e'}},{'name':'10','ephemeral':{'volumeClaimTemplate':{}}},{'name':'11','iscsi':{}}"
     ",{'name':'12'}]}}",
     HEAD
     "'volumes':[{'name':'1','type':'emptyDir'},{'name':'2','type':'configMap','source':'c'},{'name':'3','type':'secret',"
     "'source':'x'},{'name':'4','type':'pvc','source':'p'},{'name':'5','type':'hostPath','source':'/h'},{'name':'6','type':"
     "'projected'},{'name':'7','type':'downwardAPI'},{'name':'8','type':'csi','source':'d.io'},{'name':'9','type':'nfs',"
     "'source':'nas:/e'},{'name':'10','type':'ephemeral'},{'name':'11','type':'unknown'},{'name':'12','type':'unknown'}]," TAIL},
    {"AC-67 run_as_root", INGEST_POD,
     "{" META
     ",'spec':{'securityContext':{'runAsUser':0},'containers':[{'name':'a','image':'i','securityContext':{}},{'name':'b',"
     "'image':'i','securityContext':{'privileged':false,'runAsUser':1000,'runAsNonRoot':false}},{'name':'c','image':'i',"
     "'securityContext':{'runAsUser':1000,'runAsNonRoot':true,'capabilities':{'drop':['ALL']}}},{'name':'d','image':'i',"
     "'securityContext':null}]}}",
     HEAD
     "'containers':[{'name':'a','image':'i','ready':false,'restart_count':0,'resources':{},'security_context':{}},{'name':'b',"
     "'image':'i','ready':false,'restart_count':0,'resources':{},'security_context':{'privileged':false,'run_as_root':true}},"
     "{'name':'c','image':'i','ready':false,'restart_count':0,'resources':{},'security_context':{}},{'name':'d','image':'i',"
     "'ready':false,'restart_count':0,'resources':{}}]," TAIL},
    {"AC-30 node", INGEST_NODE,
     "{'metadata':{'uid':'u','name':'n','labels':{'node-role.kubernetes.io/control-plane':'','zone':'a'},'creationTimestamp':"
     "'2024-01-15T10:30:00Z'},'spec':{'providerID':'aws:///"
     "x'},'status':{'capacity':{'cpu':'4','memory':'16393236Ki','pods':'110'},"
     "'allocatable':{'cpu':'3'},'conditions':[{'type':'MemoryPressure','status':'False'},{'type':'Ready','status':'True'}],"
     "'nodeInfo':{'kubeletVersion':'v1.28.0','containerRuntimeVersion':'containerd://"
     "1.7','osImage':'Talos','architecture':'amd64',"
     "'kernelVersion':'6'}}}",
     CHEAD "'labels':{'node-role.kubernetes.io/control-plane':'','zone':'a'},'status':'Ready','roles':['control-plane'],"
           "'kubelet_version':'v1.28.0','container_runtime':'containerd://1.7','os_image':'Talos','architecture':'amd64',"
           "'cpu_capacity':'4','memory_capacity':'16393236Ki','pod_capacity':'110'," TAIL},
    {"AC-31 not ready", INGEST_NODE, "{" CMETA ",'status':{'conditions':[{'type':'Ready','status':'False'}]}}",
     CHEAD "'status':'NotReady','cpu_capacity':'0','memory_capacity':'0','pod_capacity':'0'," TAIL},
    {"AC-31 unknown; the first counts", INGEST_NODE,
     "{" CMETA ",'status':{'conditions':[{'type':'Ready','status':'Unknown'},{'type':'Ready','status':'True'}]}}",
     CHEAD "'status':'NotReady','cpu_capacity':'0','memory_capacity':'0','pod_capacity':'0'," TAIL},
    {"AC-32 no conditions; AC-33 and AC-67 roles, the doubled one", INGEST_NODE,
     "{'metadata':{'uid':'u','name':'n','labels':{'node-role.kubernetes.io/worker':'','node-role.kubernetes.io/gpu':'true',"
     "'node-role.kubernetes.io/master':'','node-role.kubernetes.io/control-plane':'','node-role.kubernetes.io/':'x'},"
     "'creationTimestamp':'2024-01-15T10:30:00Z'}}",
     CHEAD
     "'labels':{'node-role.kubernetes.io/':'x','node-role.kubernetes.io/control-plane':'','node-role.kubernetes.io/gpu':'true'"
     ",'node-role.kubernetes.io/master':'','node-role.kubernetes.io/worker':''},'status':'NotReady','roles':["
     "'control-plane','control-plane','gpu','worker'],'cpu_capacity':'0','memory_capacity':'0','pod_capacity':'0'," TAIL},
    {"AC-34 service, targetPort of every kind", INGEST_SERVICE,
     "{" META ",'spec':{'type':'LoadBalancer','clusterIP':'10.0.0.1','selector':{'b':'2','a':'1'},'ports':[{'name':'http',"
     "'protocol':'TCP','port':80,'targetPort':8080,'nodePort':30080},{'protocol':'UDP','port':53,'targetPort':'dns'},{'protocol':"
     "'TCP','port':443}]},'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.4'}]}}}",
     HEAD
     "'service_type':'LoadBalancer','cluster_ip':'10.0.0.1','ports':[{'name':'http','protocol':'TCP','port':80,'targetPort':"
     "'8080'},{'protocol':'UDP','port':53,'targetPort':'dns'},{'protocol':'TCP','port':443,'targetPort':'0'}],'selector':{'a':"
     "'1','b':'2'}," TAIL},
    {"service, targetPort an empty text", INGEST_SERVICE, "{" META ",'spec':{'ports':[{'targetPort':''}]}}",
     HEAD "'ports':[{'protocol':'','port':0}]," TAIL},
    {"service, headless", INGEST_SERVICE, "{" META ",'spec':{'clusterIP':'None'}}", HEAD "'cluster_ip':'None'," TAIL},
    {"AC-35 deployment", INGEST_DEPLOYMENT,
     "{" META
     ",'spec':{'replicas':3,'strategy':{'type':'RollingUpdate','rollingUpdate':{}},'selector':{'matchLabels':{'app':'w'},"
     "'matchExpressions':[]},'template':{'metadata':{'labels':{'app':'w'}},'spec':{'containers':[{'name':'a','image':'i:1'},{"
     "'name':'b','image':'i:2'}]}}},'status':{'replicas':3,'readyReplicas':2,'availableReplicas':1,'updatedReplicas':3}}",
     HEAD
     "'replicas':3,'ready_replicas':2,'available_replicas':1,'updated_replicas':3,'strategy':'RollingUpdate','selector':{'app':"
     "'w'},'image':'i:1'," TAIL},
    {"AC-36 replicas absent", INGEST_DEPLOYMENT, "{" META ",'spec':{}}",
     HEAD "'replicas':1,'ready_replicas':0,'available_replicas':0,'updated_replicas':0," TAIL},
    {"AC-67 deploy-zero", INGEST_DEPLOYMENT, "{" META ",'spec':{'replicas':0}}",
     HEAD "'replicas':0,'ready_replicas':0,'available_replicas':0,'updated_replicas':0," TAIL},
    {"AC-37 stateful set", INGEST_STATEFUL_SET,
     "{" META
     ",'spec':{'replicas':2,'serviceName':'db','updateStrategy':{'type':'OnDelete'},'selector':{'matchLabels':{'app':'d'}},"
     "'template':{'spec':{'containers':[{'image':'pg'}]}}},'status':{'readyReplicas':1,'currentReplicas':2}}",
     HEAD
     "'replicas':2,'ready_replicas':1,'current_replicas':2,'update_strategy':'OnDelete','service_name':'db','selector':{'app':"
     "'d'},'image':'pg'," TAIL},
    {"AC-36 stateful set, replicas absent", INGEST_STATEFUL_SET, "{" META "}",
     HEAD "'replicas':1,'ready_replicas':0,'current_replicas':0," TAIL},
    {"AC-38 daemon set", INGEST_DAEMON_SET,
     "{" META ",'spec':{'updateStrategy':{'type':'RollingUpdate'},'selector':{'matchLabels':{'app':'d'}},'template':{'spec':{"
     "'nodeSelector':{'os':'linux'},'containers':[{'image':'fluent'}]}}},'status':{'desiredNumberScheduled':4,"
     "'currentNumberScheduled':3,'numberReady':2,'numberAvailable':1}}",
     HEAD "'desired_number_scheduled':4,'current_number_scheduled':3,'number_ready':2,'number_available':1,'update_strategy':"
          "'RollingUpdate','selector':{'app':'d'},'node_selector':{'os':'linux'},'image':'fluent'," TAIL},
    {"AC-39 no containers, no image", INGEST_DAEMON_SET, "{" META ",'spec':{'template':{'spec':{'containers':[]}}}}",
     HEAD "'desired_number_scheduled':0,'current_number_scheduled':0,'number_ready':0,'number_available':0," TAIL},
    {"AC-40 job of a cron job", INGEST_JOB,
     "{'metadata':{'uid':'u','name':'n','namespace':'s','ownerReferences':[{'kind':'X','name':'x'},{'kind':'CronJob','name':'cj'}"
     ",{"
     "'kind':'CronJob','name':'other'}],'creationTimestamp':'2024-01-15T10:30:00Z'},'spec':{'completions':5,'parallelism':2},"
     "'status':{'succeeded':3,'failed':1,'active':1,'startTime':'2024-01-15T10:30:00Z','completionTime':'2024-01-15T10:35:00Z'}}",
     HEAD "'completions':5,'parallelism':2,'succeeded':3,'failed':1,'active':1,'start_time':'2024-01-15T10:30:00Z',"
          "'completion_time':'2024-01-15T10:35:00Z','owner_ref':'cj'," TAIL},
    {"AC-41 job, defaults", INGEST_JOB, "{" META ",'spec':{'completions':null}}",
     HEAD "'completions':1,'parallelism':1,'succeeded':0,'failed':0,'active':0," TAIL},
    {"AC-42 cron job", INGEST_CRON_JOB,
     "{" META ",'spec':{'schedule':'*/5 * * * *','suspend':true,'concurrencyPolicy':'Forbid','timeZone':'Etc/UTC'},'status':{"
     "'lastScheduleTime':'2024-01-15T10:30:00Z','active':[{'name':'a'},{'name':'b'}]}}",
     HEAD "'schedule':'*/5 * * * *','suspend':true,'concurrency_policy':'Forbid','last_schedule_time':'2024-01-15T10:30:00Z',"
          "'active_jobs':2," TAIL},
    {"AC-43 cron job, defaults", INGEST_CRON_JOB, "{" META "}", HEAD "'schedule':'','suspend':false,'active_jobs':0," TAIL},
    {"AC-44 annotations: which stay", INGEST_CRON_JOB,
     "{'metadata':{'uid':'u','name':'n','namespace':'s','annotations':{'kubectl.kubernetes.io/a':'1','kubernetes.io/b':'2',"
     "'app.kubernetes.io/c':'3','deployment.kubernetes.io/d':'4','x/kubernetes.io/"
     "e':'5','kubernetes.io':'6','kubectl.kubernetes.io'"
     ":'7'},'creationTimestamp':'2024-01-15T10:30:00Z'}}",
     HEAD
     "'annotations':{'app.kubernetes.io/c':'3','deployment.kubernetes.io/d':'4','kubectl.kubernetes.io':'7','kubernetes.io':'6'"
     ",'x/kubernetes.io/e':'5'},'schedule':'','suspend':false,'active_jobs':0," TAIL},
    {"AC-44 none stays; empty maps", INGEST_CRON_JOB,
     "{'metadata':{'uid':'u','name':'n','namespace':'s','labels':{},'annotations':{'kubectl.kubernetes.io/a':'1','kubernetes.io/"
     "b':"
     "'2'},'creationTimestamp':'2024-01-15T10:30:00Z'}}",
     HEAD "'schedule':'','suspend':false,'active_jobs':0," TAIL},
    {"AC-45 ingress; AC-67 a named port, a balancer's name", INGEST_INGRESS,
     "{" META
     ",'spec':{'ingressClassName':'nginx','defaultBackend':{'service':{'name':'d'}},'rules':[{'host':'a.io','http':{'paths'"
     ":[{'path':'/','pathType':'Prefix','backend':{'service':{'name':'web','port':{'number':80}}}},{'path':'/"
     "n','pathType':'Exact',"
     "'backend':{'service':{'name':'api','port':{'name':'http'}}}},{'path':'/"
     "r','backend':{'resource':{'kind':'B','name':'b'}}}]}},{"
     "'host':'b.io'},{'http':{'paths':[]}}],'tls':[{'hosts':['a.io','b.io'],'secretName':'tls'},{}]},'status':{'loadBalancer':{"
     "'ingress':[{'ip':'1.2.3.4'},{'hostname':'lb.io'},{},{'ip':'5.6.7.8','hostname':'x'}]}}}",
     HEAD "'ingress_class_name':'nginx','rules':[{'host':'a.io','paths':[{'path':'/','path_type':'Prefix','service_name':'web',"
          "'service_port':80},{'path':'/n','path_type':'Exact','service_name':'api'},{'path':'/r'}]},{'host':'b.io'},{}],'tls':[{"
          "'hosts':['a.io','b.io'],'secret_name':'tls'},{}],'load_balancer_ips':['1.2.3.4','lb.io','5.6.7.8']," TAIL},
    {"AC-46 minimal ingress", INGEST_INGRESS, "{" META ",'status':{'loadBalancer':{'ingress':[{}]}}}", HEAD TAIL},
    {"AC-47 network policy", INGEST_NETWORK_POLICY,
     "{" META ",'spec':{'podSelector':{'matchLabels':{'app':'x'}},'policyTypes':['Ingress','Egress'],'ingress':[{'from':[]}],"
     "'egress':[{},{}]}}",
     HEAD "'pod_selector':{'app':'x'},'policy_types':['Ingress','Egress'],'ingress_rules':1,'egress_rules':2," TAIL},
    {"AC-48 minimal network policy", INGEST_NETWORK_POLICY, "{" META ",'spec':{'podSelector':{}}}",
     HEAD "'ingress_rules':0,'egress_rules':0," TAIL},
    {"AC-49 config map", INGEST_CONFIG_MAP,
     "{" META ",'data':{'z':'Z-VALUE','a':'A-VALUE'},'binaryData':{'b':'QkFTRTY0'},'immutable':true}",
     HEAD "'data_keys':['a','z'],'binary_keys':['b'],'immutable':true," TAIL},
    {"AC-50 empty config map", INGEST_CONFIG_MAP, "{" META ",'data':{}}", HEAD "'immutable':false," TAIL},
    {"AC-51 secret of TLS", INGEST_SECRET,
     "{" META ",'type':'kubernetes.io/tls','data':{'tls.key':'a2V5','tls.crt':'Y3J0'},'stringData':{'x':'y'}}",
     HEAD "'type':'kubernetes.io/tls','data_keys':['tls.crt','tls.key'],'immutable':false," TAIL},
    {"AC-52 minimal secret", INGEST_SECRET, "{" META ",'type':'Opaque'}", HEAD "'type':'Opaque','immutable':false," TAIL},
    {"AC-54 claim", INGEST_VOLUME_CLAIM,
     "{" META
     ",'spec':{'storageClassName':'fast','accessModes':['ReadWriteOnce','ReadOnlyMany'],'resources':{'requests':{'storage':"
     "'10Gi'}},'volumeName':'pv','volumeMode':'Filesystem'},'status':{'phase':'Bound','capacity':{'storage':'12Gi'}}}",
     HEAD
     "'storage_class_name':'fast','access_modes':['ReadWriteOnce','ReadOnlyMany'],'storage_request':'10Gi','volume_name':'pv',"
     "'phase':'Bound','volume_mode':'Filesystem'," TAIL},
    {"AC-55 minimal claim", INGEST_VOLUME_CLAIM, "{" META ",'status':{'phase':'Pending'}}", HEAD "'phase':'Pending'," TAIL},
    {"AC-67 sa-full", INGEST_SERVICE_ACCOUNT,
     "{" META ",'secrets':[{'name':'b'},{'name':'a'}],'imagePullSecrets':[{'name':'pull'}],'automountServiceAccountToken':false}",
     HEAD "'secrets':['b','a'],'image_pull_secrets':['pull'],'automount_service_account_token':false," TAIL},
    {"AC-67 sa-min", INGEST_SERVICE_ACCOUNT, "{" META "}", HEAD TAIL},
    {"AC-56 role", INGEST_ROLE,
     "{" META ",'rules':[{'verbs':['get'],'apiGroups':[''],'resources':['pods','services']},{'resources':['pods','configmaps'],"
     "'verbs':['*'],'resourceNames':['x']}]}",
     HEAD "'is_cluster':false,'rule_count':2,'resources':['configmaps','pods','services']," TAIL},
    {"AC-57 empty role", INGEST_ROLE, "{" META ",'rules':null}", HEAD "'is_cluster':false,'rule_count':0,'resources':[]," TAIL},
    {"AC-58 cluster role", INGEST_CLUSTER_ROLE,
     "{" CMETA
     ",'aggregationRule':{},'rules':[{'resources':['*'],'verbs':['*']},{'nonResourceURLs':['/healthz'],'verbs':['get']}]}",
     CHEAD "'is_cluster':true,'rule_count':2,'resources':['*']," TAIL},
    {"AC-59 empty cluster role; no namespace whatever is there", INGEST_CLUSTER_ROLE, "{" META "}",
     CHEAD "'is_cluster':true,'rule_count':0,'resources':[]," TAIL},
    {"AC-60 role binding", INGEST_ROLE_BINDING,
     "{" META
     ",'roleRef':{'apiGroup':'g','kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u1','apiGroup':'g'},{'kind':"
     "'Group','name':'g1'},{'kind':'ServiceAccount','name':'sa','namespace':'s'}]}",
     HEAD
     "'is_cluster':false,'role_ref':{'kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u1'},{'kind':'Group','name':"
     "'g1'},{'kind':'ServiceAccount','name':'sa','namespace':'s'}]," TAIL},
    {"AC-61 no subjects", INGEST_ROLE_BINDING, "{" META ",'roleRef':{'kind':'Role','name':'r'},'subjects':[]}",
     HEAD "'is_cluster':false,'role_ref':{'kind':'Role','name':'r'}," TAIL},
    {"AC-62 cluster role binding", INGEST_CLUSTER_ROLE_BINDING,
     "{" CMETA ",'roleRef':{'kind':'ClusterRole','name':'admin'},'subjects':[{'kind':'Group','name':'ops'}]}",
     CHEAD "'is_cluster':true,'role_ref':{'kind':'ClusterRole','name':'admin'},'subjects':[{'kind':'Group','name':'ops'}]," TAIL},
    {"AC-63 none, and no reference", INGEST_CLUSTER_ROLE_BINDING, "{" CMETA "}",
     CHEAD "'is_cluster':true,'role_ref':{'kind':'','name':''}," TAIL},
    {"AC-64 event", INGEST_EVENT,
     "{'metadata':{'uid':'u','name':'n','namespace':'s','labels':{'a':'b'},'annotations':{'c':'d'},'creationTimestamp':"
     "'2024-01-15T10:30:00Z'},'type':'Normal','reason':'Scheduled','message':'to <w1> & \\'on\\'','involvedObject':{'kind':'Pod',"
     "'name':'p','namespace':'s','uid':'pu','apiVersion':'v1','fieldPath':'x'},'source':{'component':'scheduler','host':'w1'},"
     "'firstTimestamp':'2024-01-15T10:30:00Z','lastTimestamp':'2024-01-15T10:31:00Z','count':2}",
     HEAD "'type':'Normal','reason':'Scheduled','message':'to \\u003cw1\\u003e \\u0026 \\'on\\'','involved_object':{'kind':'Pod',"
          "'name':'p','namespace':'s','uid':'pu'},'source':{'component':'scheduler','host':'w1'},'first_timestamp':"
          "'2024-01-15T10:30:00Z','last_timestamp':'2024-01-15T10:31:00Z','count':2," TAIL},
    {"AC-65 of a node", INGEST_EVENT,
     "{" META ",'type':'Warning','reason':'R','message':'m','involvedObject':{'kind':'Node','name':'w1'},'source':{'component':"
     "'kubelet'},'count':1}",
     HEAD
     "'type':'Warning','reason':'R','message':'m','involved_object':{'kind':'Node','name':'w1'},'source':{'component':'kubelet'"
     "},'count':1," TAIL},
    {"AC-66 zero times", INGEST_EVENT, "{" META ",'firstTimestamp':null,'lastTimestamp':'0001-01-01T00:00:00Z'}",
     HEAD "'type':'','reason':'','message':'','involved_object':{'kind':'','name':''},'source':{},'count':0," TAIL},
    {"AC-67 ev-new", INGEST_EVENT,
     "{" META
     ",'type':'Normal','reason':'R','message':'m','involvedObject':{'kind':'Pod','name':'p','namespace':'s'},'source':{},"
     "'eventTime':'2024-01-15T10:30:00.123456Z','series':{'count':4},'reportingComponent':'c','reportingInstance':'i','action':'"
     "a',"
     "'related':{'kind':'X'}}",
     HEAD "'type':'Normal','reason':'R','message':'m','involved_object':{'kind':'Pod','name':'p','namespace':'s'},'source':{},"
          "'count':0," TAIL},
    {"a time with an offset and a fraction; a quantity that is a number", INGEST_VOLUME_CLAIM,
     "{'metadata':{'uid':'u','name':'n','namespace':'s','creationTimestamp':'2024-01-15T12:30:00.999+02:00'},'spec':{'resources':"
     "{"
     "'requests':{'storage':1000}}}}",
     HEAD "'storage_request':'1k'," TAIL},
};

static void every_row_in_every_piece(void **state)
{
    (void)state;
    static const size_t pieces[] = {SIZE_MAX, 1, 7, 64};
    static char json[TEXT_BYTES], want[TEXT_BYTES], got[TEXT_BYTES];
    for (size_t i = 0; i < COUNT_OF(infos); i++) {
        for (size_t n = 0; n < COUNT_OF(pieces); n++) {
            struct json_pick p;
            struct text out = text_over(got, sizeof got);
            err e = pick(&p, infos[i].kind, bytes_of(quoted(infos[i].object, json)), pieces[n]);
            if (e != OK)
                fail_msg("%s: %s %s", infos[i].name, err_name(e), json_pick_wrong(&p));
            e = info_write(infos[i].kind, json_pick_root(&p), &out);
            if (e != OK || strcmp(got, quoted(infos[i].want, want)) != 0)
                fail_msg("%s: %s\n got %s\nwant %s", infos[i].name, err_name(e), got, want);
        }
    }
}

/* Every byte of a Secret's and ConfigMap's value, and of env, stays behind (AC-53). */
static void values_stay(void **state)
{
    (void)state;
    static const char *const planted[] = {"hunter2", "a2V5", "Y3J0", "Z-VALUE", "A-VALUE", "QkFTRTY0", "--token=x"};
    static char json[TEXT_BYTES], got[TEXT_BYTES];
    for (size_t i = 0; i < COUNT_OF(infos); i++) {
        struct json_pick p;
        struct text out = text_over(got, sizeof got);
        memset(arena, 0, sizeof arena);
        assert_int_equal(pick(&p, infos[i].kind, bytes_of(quoted(infos[i].object, json)), SIZE_MAX), OK);
        assert_int_equal(info_write(infos[i].kind, json_pick_root(&p), &out), OK);
        for (size_t n = 0; n < COUNT_OF(planted); n++) {
            assert_null(strstr(got, planted[n]));
            assert_null(memmem(arena, sizeof arena, planted[n], strlen(planted[n])));
        }
    }
}

/* --- what does not fit, what is wrong --- */
static void a_short_text_is_left_as_it_was(void **state)
{
    (void)state;
    static char json[TEXT_BYTES], want[TEXT_BYTES], got[TEXT_BYTES];
    struct json_pick p;
    assert_int_equal(pick(&p, infos[0].kind, bytes_of(quoted(infos[0].object, json)), SIZE_MAX), OK);
    size_t whole = 2 + strlen(quoted(infos[0].want, want)) + 1;
    for (size_t cap = 3; cap <= whole; cap++) {
        struct text out = text_over(got, cap);
        text_add(&out, "ab");
        err e = info_write(infos[0].kind, json_pick_root(&p), &out);
        assert_int_equal(e, cap < whole ? E_BUDGET : OK);
        assert_false(out.cut);
        assert_memory_equal(got, "ab", 2);
        assert_string_equal(got + 2, cap < whole ? "" : want);
        assert_int_equal(out.len, strlen(got));
    }
    trail_clear();
}

static const struct {
    enum ingest_kind kind;
    const char *object, *says;
} wrongs[] = {
    {INGEST_NAMESPACE, "{'metadata':{'creationTimestamp':'yesterday'}}", "metadata.creationTimestamp is no RFC 3339 time"},
    {INGEST_JOB, "{'status':{'startTime':5}}", "status.startTime is no RFC 3339 time"},
    {INGEST_VOLUME_CLAIM, "{'spec':{'resources':{'requests':{'storage':'1 apple'}}}}", "storage is no quantity"},
    {INGEST_POD, "{'spec':{'containers':[{'resources':{'limits':{'cpu':true}}}]}}", "limits.cpu is no quantity"},
    {INGEST_DEPLOYMENT, "{'spec':{'replicas':1.5}}", "spec.replicas is no whole number"},
    {INGEST_DEPLOYMENT, "{'spec':{'replicas':'3'}}", "spec.replicas is no whole number"},
    {INGEST_EVENT, "{'count':99999999999999999999}", "count is no whole number"},
};

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static char json[TEXT_BYTES], got[TEXT_BYTES];
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        struct json_pick p;
        char why[256];
        struct text out = text_over(got, sizeof got);
        assert_int_equal(pick(&p, wrongs[i].kind, bytes_of(quoted(wrongs[i].object, json)), SIZE_MAX), OK);
        assert_int_equal(info_write(wrongs[i].kind, json_pick_root(&p), &out), E_INVALID);
        assert_string_equal(got, "");
        if (!strstr(trail_text(E_INVALID, why, sizeof why), wrongs[i].says))
            fail_msg("%s: %s", wrongs[i].says, why);
        trail_clear();
    }
}

/* A map of more names than are sorted without the heap. */
static void many_keys_are_sorted(void **state)
{
    (void)state;
    static char json[TEXT_BYTES], got[TEXT_BYTES];
    struct text t = text_over(json, sizeof json), out = text_over(got, sizeof got);
    struct json_pick p;
    text_add(&t, "{\"data\":{");
    for (unsigned n = 0; n < 300; n++)
        text_addf(&t, "%s\"k%03u\":\"v\"", n ? "," : "", n * 7 % 300);
    text_add(&t, "}}");
    assert_int_equal(pick(&p, INGEST_CONFIG_MAP, bytes_of(json), SIZE_MAX), OK);
    assert_int_equal(info_write(INGEST_CONFIG_MAP, json_pick_root(&p), &out), OK);
    const char *at = strstr(got, "\"data_keys\":[") + strlen("\"data_keys\":[");
    for (unsigned n = 0; n < 300; n++, at += 7) {
        char want[16];
        (void)snprintf(want, sizeof want, "\"k%03u\"%c", n, n == 299 ? ']' : ',');
        assert_memory_equal(at, want, 7);
    }
}

/* Statuses in another order than containers; one container has none, one has two: the first counts. */
static void many_containers_find_their_statuses(void **state)
{
    (void)state;
    static char json[2 * TEXT_BYTES], got[2 * TEXT_BYTES];
    struct text t = text_over(json, sizeof json), out = text_over(got, sizeof got);
    struct json_pick p;
    unsigned count = 100;
    text_add(&t, "{\"spec\":{\"containers\":[");
    for (unsigned n = 0; n < count; n++)
        text_addf(&t, "%s{\"name\":\"c%u\"}", n ? "," : "", n * 7 % count);
    text_add(&t, "]},\"status\":{\"containerStatuses\":[{\"name\":\"c9\",\"restartCount\":1009}");
    for (unsigned n = 0; n < count; n++)
        if (n != 8)
            text_addf(&t, ",{\"name\":\"c%u\",\"restartCount\":%u}", n, 2000 + n);
    text_add(&t, "]}}");
    assert_false(t.cut);
    assert_int_equal(pick(&p, INGEST_POD, bytes_of(json), SIZE_MAX), OK);
    assert_int_equal(info_write(INGEST_POD, json_pick_root(&p), &out), OK);
    for (unsigned n = 0; n < count; n++) {
        char want[96];
        (void)snprintf(want, sizeof want, "{\"name\":\"c%u\",\"image\":\"\",\"ready\":false,\"restart_count\":%u,", n,
                       n == 8   ? 0
                       : n == 9 ? 1009
                                : 2000 + n);
        if (!strstr(got, want))
            fail_msg("no %s in %s", want, got);
    }
}

/* What a name costs does not grow with how many there are: 5,000 containers are no 12,500,000 looks at a name. */
static void names_are_found_in_few_steps(void **state)
{
    (void)state;
    enum { COUNT = 5000, STEPS_MAX = 13 }; /* of one: 2^13 > 5,000 */
    static char names[COUNT][8];
    static struct sorted s;
    struct info i = {.error = OK};
    assert_true(sorted_open(&i, &s, COUNT));
    for (unsigned n = 0; n < COUNT; n++) {
        (void)snprintf(names[n], sizeof names[n], "c%u", n * 7 % COUNT);
        sorted_add(&s, bytes_of(names[n]), (const struct pick_node *)(const void *)names[n]);
    }
    sorted_sort(&s);
    for (unsigned n = 0; n < COUNT; n++) {
        size_t before = s.steps;
        assert_ptr_equal(sorted_find(&s, bytes_of(names[n])), names[n]);
        assert_true(s.steps > before && s.steps - before <= STEPS_MAX);
    }
    assert_null(sorted_find(&s, bytes_of("c")));
    assert_null(sorted_find(&s, bytes_of("c5000")));
    assert_null(sorted_find(&s, bytes_of("d")));
    sorted_close(&s);
}

/* --- quantities: what resource.Quantity of apimachinery 0.36 makes of them --- */
static const struct {
    const char *in, *want; /* NULL: none */
} quantities[] = {
    {"1000m", "1"},
    {"0.5", "500m"},
    {"1.5", "1500m"},
    {"1000", "1k"},
    {"1000k", "1M"},
    {"2048Mi", "2Gi"},
    {"1024Mi", "1Gi"},
    {"1000Mi", "1000Mi"},
    {"1.5Gi", "1536Mi"},
    {"0.5Gi", "512Mi"},
    {"16393236Ki", "16393236Ki"},
    {"110", "110"},
    {"12e6", "12e6"},
    {"1.250", "1.250"},
    {"0", "0"},
    {"0.1Ki", "102400m"},
    {"1.1Ki", "1126400m"},
    {"1023Ki", "1023Ki"},
    {"1025Ki", "1025Ki"},
    {"8Ki", "8Ki"},
    {"0.0001Gi", "107374182400u"},
    {"8Ei", "9223372036854775807"},
    {"7.5Ei", "7680Pi"},
    {"99999999999999999999Ki", "9223372036854775807"},
    {"0.9n", "1n"},
    {"1.0000000001", "1000000001n"},
    {"-1.5", "-1500m"},
    {"+5", "+5"},
    {"05", "05"},
    {"0m", "0"},
    {"-0", "0"},
    {"1e3", "1e3"},
    {"1e5", "100e3"},
    {"12E6", "12E6"},
    {"1e-12", "1e-9"},
    {"123456789012345678901", "123456789012345678901"},
    {"999999999999999999999n", "999999999999999999999n"},
    {"9999999999999999999.9999999999", "10E"},
    {"1000E", "1e21"},
    {"1.", "1."},
    {".5", "500m"},
    {" 5 ", "5"},
    {"1.5k", "1500"},
    {"", NULL},
    {".", NULL},
    {"m", NULL},
    {"Ki", NULL},
    {"5Kx", NULL},
    {"5ki", NULL},
    {"abc", NULL},
    {"1e", NULL},
    {"1e+", NULL},
    {"1e12345", NULL},
    {"1..2", NULL},
    {"1.2.3", NULL},
    {"--1", NULL},
    {"1 0", NULL},
    {"0x10", NULL},
    {"1.0000000000000000001Mi", NULL},
    {"11111111111111111111111111111111111111111111111111111111111111111", NULL},
};

static void quantities_are_canonical(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(quantities); i++) {
        char got[QUANTITY_TEXT_MAX] = "";
        bool is = quantity_canonical(bytes_of(quantities[i].in), got);
        if (is != (quantities[i].want != NULL) || (is && strcmp(got, quantities[i].want) != 0))
            fail_msg("\"%s\": %s", quantities[i].in, is ? got : "none");
    }
}

/* --- times --- */
static const struct {
    const char *in, *want; /* NULL: none */
} times[] = {
    {"2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"},
    {"2024-01-15T10:30:00.999999999Z", "2024-01-15T10:30:00Z"},
    {"2024-01-15T10:30:00+02:00", "2024-01-15T08:30:00Z"},
    {"2024-03-01T00:30:00.5+01:00", "2024-02-29T23:30:00Z"},
    {"2024-12-31T23:59:59-00:30", "2025-01-01T00:29:59Z"},
    {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
    {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
    {"1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59Z"},
    {"", NULL},
    {"2024-01-15", NULL},
    {"2024-01-15T10:30:00", NULL},
    {"2024-01-15 10:30:00Z", NULL},
    {"2024-01-15t10:30:00z", NULL},
    {"2024-02-30T10:30:00Z", NULL},
    {"2023-02-29T10:30:00Z", NULL},
    {"2024-13-01T10:30:00Z", NULL},
    {"2024-01-15T24:00:00Z", NULL},
    {"2024-01-15T10:60:00Z", NULL},
    {"2024-01-15T10:30:60Z", NULL},
    {"2024-01-15T10:30:00.Z", NULL},
    {"2024-01-15T10:30:00+0200", NULL},
    {"2024-01-15T10:30:00+02:60", NULL},
    {"2024-01-15T10:30:00Zx", NULL},
    {"+024-01-15T10:30:00Z", NULL},
};

static void times_are_of_utc(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char got[TIME_TEXT_MAX] = "";
        int64_t at_s;
        bool is = rfc3339_read(bytes_of(times[i].in), &at_s);
        if (is)
            text_rfc3339(at_s, got, sizeof got);
        if (is != (times[i].want != NULL) || (is && strcmp(got, times[i].want) != 0))
            fail_msg("\"%s\": %s", times[i].in, is ? got : "none");
    }
    int64_t at_s;
    assert_true(rfc3339_read(bytes_of("0001-01-01T00:00:00Z"), &at_s));
    assert_true(at_s == RFC3339_ZERO_S);
}

/* --- escapes: the bytes that Go 1.25 writes --- */
static const struct {
    const char *in, *want;
} escapes[] = {
    {"\\'\\\\/", "\\'\\\\/"},
    {"\\n\\r\\t\\b\\f", "\\n\\r\\t\\b\\f"},
    {"\\u0000\\u001f\\u007f", "\\u0000\\u001f\x7f"},
    {"<a>&amp;", "\\u003ca\\u003e\\u0026amp;"},
    {"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xa7\xe2\x80\xaa", "\\u2028\\u2029\xe2\x80\xa7\xe2\x80\xaa"},
    {"\\u2028", "\\u2028"},
    {"\\u00e4\\ud83c\\udf0a\xc3\xa4", "\xc3\xa4\xf0\x9f\x8c\x8a\xc3\xa4"},
    {"\xef\xbf\xbd", "\xef\xbf\xbd"},
};

static void texts_and_keys_are_escaped_as_go_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(escapes); i++) {
        char object[256], json[512], want[512], got[512];
        struct json_pick p;
        struct text out = text_over(got, sizeof got);
        (void)snprintf(object, sizeof object, "{'metadata':{'name':'%s','labels':{'%s':'x'}}}", escapes[i].in, escapes[i].in);
        err e = pick(&p, INGEST_NAMESPACE, bytes_of(quoted(object, json)), SIZE_MAX);
        if (e != OK)
            fail_msg("%s: %s", json, json_pick_wrong(&p));
        assert_int_equal(info_write(INGEST_NAMESPACE, json_pick_root(&p), &out), OK);
        (void)snprintf(object, sizeof object, "{'uid':'','name':'%s','labels':{'%s':'x'}," NOUGHT, escapes[i].want,
                       escapes[i].want);
        assert_string_equal(got, quoted(object, want));
    }
}

static void bytes_that_are_no_utf8(void **state)
{
    (void)state;
    char got[64];
    struct text out = text_over(got, sizeof got);
    struct json_writer w = json_write_as_go(&out);
    json_bytes(&w, bytes_of("a\xff\xe2\x82z\xed\xa0\x80"));
    assert_string_equal(got, "\"a\\ufffd\\ufffd\\ufffdz\\ufffd\\ufffd\\ufffd\"");
}

/* --- names, kinds, bodies --- */
static bool same(struct bytes got, const char *want)
{
    return bytes_equal_text(got, want);
}

static void names_are_views(void **state)
{
    (void)state;
    static char json[TEXT_BYTES];
    struct json_pick p;
    assert_int_equal(pick(&p, INGEST_NODE,
                          bytes_of(quoted("{'metadata':{'uid':'u','name':'n','namespace':'s','resourceVersion':'42','labels':{"
                                          "'topology.kubernetes.io/region':'eu-1','a':'b'}},'spec':{'providerID':'aws:///i'}}",
                                          json)),
                          SIZE_MAX),
                     OK);
    struct info_names n = info_names(INGEST_NODE, json_pick_root(&p));
    assert_true(same(n.uid, "u") && same(n.name, "n") && same(n.name_space, "") && same(n.resource_version, "42"));
    assert_true(same(n.provider_id, "aws:///i") && same(n.region, "eu-1"));
    assert_int_equal(pick(&p, INGEST_POD, bytes_of(quoted("{" META ",'spec':{'providerID':'x'}}", json)), SIZE_MAX), OK);
    n = info_names(INGEST_POD, json_pick_root(&p));
    assert_true(same(n.uid, "u") && same(n.name, "n") && same(n.name_space, "s") && same(n.resource_version, ""));
    assert_true(same(n.provider_id, "") && same(n.region, ""));
}

static void twenty_kinds(void **state)
{
    (void)state;
    unsigned of_cluster = 0;
    assert_int_equal(INGEST_KIND_COUNT, 20);
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++) {
        enum ingest_kind found;
        bool tried = false;
        assert_true(ingest_kind_find(bytes_of(ingest_kinds[k].name), &found) && found == k);
        of_cluster += !ingest_kinds[k].namespaced;
        for (size_t i = 0; i < COUNT_OF(infos); i++)
            tried = tried || infos[i].kind == k;
        assert_true(tried);
        size_t fields = 0;
        while (ingest_kinds[k].fields[fields].key)
            fields++;
        assert_true(fields >= 1 && fields <= PICK_FIELDS_MAX - 2); /* preview wants two more */
    }
    assert_int_equal(of_cluster, 4);
    enum ingest_kind none;
    assert_false(ingest_kind_find(bytes_of("pod"), &none));
    assert_false(ingest_kind_find(bytes_of("ReplicaSet"), &none));
}

static const struct envelope full = {.cluster_uid = "c-1", .cluster_name = "a<b", .agent_version = "v1"};
static const struct envelope upper = {.cluster_uid = "c", .cluster_name = "", .types = EVENT_TYPES_UPPER};
static const struct info_names of_pod = {
    .uid = {(const uint8_t *)"u", 1}, .name = {(const uint8_t *)"n", 1}, .name_space = {(const uint8_t *)"s", 1}};

static const struct {
    const struct envelope *envelope;
    enum ingest_change change;
    enum ingest_kind kind;
    const char *want;
} events[] = {
    {&full, INGEST_ADDED, INGEST_POD,
     "{'cluster_uid':'c-1','type':'added','kind':'Pod','uid':'u','name':'n','namespace':'s','object':{'i':1}}"},
    {&full, INGEST_MODIFIED, INGEST_NODE,
     "{'cluster_uid':'c-1','type':'modified','kind':'Node','uid':'u','name':'n','object':{'i':1}}"},
    {&full, INGEST_DELETED, INGEST_POD,
     "{'cluster_uid':'c-1','type':'deleted','kind':'Pod','uid':'u','name':'n','namespace':'s'}"},
    {&upper, INGEST_ADDED, INGEST_SECRET,
     "{'cluster_uid':'c','type':'ADDED','kind':'Secret','uid':'u','name':'n','namespace':'s','object':{'i':1}}"},
    {&upper, INGEST_MODIFIED, INGEST_VOLUME_CLAIM,
     "{'cluster_uid':'c','type':'UPDATED','kind':'PersistentVolumeClaim','uid':'u','name':'n','namespace':'s','object':{'i':1}}"},
    {&upper, INGEST_DELETED, INGEST_CLUSTER_ROLE,
     "{'cluster_uid':'c','type':'DELETED','kind':'ClusterRole','uid':'u','name':'n'}"},
};

static void events_as_they_are_sent(void **state)
{
    (void)state;
    static char want[TEXT_BYTES], got[TEXT_BYTES];
    for (size_t i = 0; i < COUNT_OF(events); i++) {
        const char *wanted = quoted(events[i].want, want);
        for (size_t cap = strlen(wanted); cap <= strlen(wanted) + 1; cap++) {
            struct text out = text_over(got, cap);
            err e = envelope_event(events[i].envelope, events[i].change, events[i].kind, &of_pod, bytes_of("{\"i\":1}"), &out);
            assert_int_equal(e, cap > strlen(wanted) ? OK : E_BUDGET);
            assert_string_equal(got, e == OK ? wanted : "");
        }
    }
    trail_clear();
}

static size_t event_of(const char *cluster_uid, enum event_types types, enum ingest_change change, char out[256])
{
    struct text text = text_over(out, 256);
    struct envelope e = {.cluster_uid = cluster_uid, .types = types};
    assert_int_equal(envelope_event(&e, change, INGEST_POD, &of_pod, bytes_of("{\"i\":1}"), &text), OK);
    return text.len;
}

/* A change and a spelling in one number, of both that have an object. */
static void events_are_renamed(void **state)
{
    (void)state;
    static const char *const uids[] = {"c", "", "\",\"type\":\"x"};
    char want[256], got[256], other[] = "{\"type\":\"added\"}";
    for (size_t i = 0; i < COUNT_OF(uids); i++)
        for (unsigned from = 0; from < 4; from++)
            for (unsigned to = 0; to < 4; to++) {
                size_t wanted = event_of(uids[i], to / 2, to % 2, want), len = event_of(uids[i], from / 2, from % 2, got);
                assert_int_equal(envelope_event_rename(to % 2, to / 2, got, len), wanted);
                assert_memory_equal(got, want, wanted);
                assert_true(wanted <= len + ENVELOPE_RENAMED_MORE);
            }
    assert_int_equal(envelope_event_rename(INGEST_MODIFIED, EVENT_TYPES_LOWER, other, strlen(other)), strlen(other));
    assert_string_equal(other, "{\"type\":\"added\"}");
}

static void heartbeats(void **state)
{
    (void)state;
    char want[128], got[128];
    struct text out = text_over(got, sizeof got);
    assert_int_equal(envelope_heartbeat(&full, &out), OK);
    assert_int_equal(envelope_heartbeat(&upper, &out), OK);
    assert_string_equal(got, quoted("{'cluster_uid':'c-1','agent_version':'v1'}{'cluster_uid':'c'}", want));
}

/* AC X-8: twenty arrays, in order, never null. */
static void an_empty_snapshot(void **state)
{
    (void)state;
    static const char want[] =
        "{'cluster_uid':'c','cluster_name':'x','kubernetes_version':'1.28.0','platform':'eks','region':'r','agent_version':'v',"
        "'namespaces':[],'pods':[],'services':[],'nodes':[],'deployments':[],'statefulsets':[],'daemonsets':[],'jobs':[],'"
        "cronjobs':"
        "[],'ingresses':[],'network_policies':[],'configmaps':[],'secrets':[],'pvcs':[],'service_accounts':[],'roles':[],"
        "'cluster_roles':[],'role_bindings':[],'cluster_role_bindings':[],'events':[]}";
    static char quoted_want[1024], got[1024];
    struct text out = text_over(got, sizeof got);
    const struct envelope e = {.cluster_uid = "c",
                               .cluster_name = "x",
                               .kubernetes_version = "1.28.0",
                               .platform = "eks",
                               .region = "r",
                               .agent_version = "v"};
    assert_int_equal(envelope_snapshot_head(&e, &out), OK);
    for (unsigned k = 0; k < INGEST_KIND_COUNT; k++) {
        assert_int_equal(envelope_kind_begin((enum ingest_kind)k, &out), OK);
        assert_int_equal(envelope_kind_end(&out), OK);
    }
    assert_int_equal(envelope_snapshot_tail(&out), OK);
    assert_string_equal(got, quoted(want, quoted_want));
    out = text_over(got, sizeof got);
    assert_int_equal(envelope_snapshot_head(&full, &out), OK);
    assert_string_equal(got, "{\"cluster_uid\":\"c-1\",\"cluster_name\":\"a\\u003cb\",\"agent_version\":\"v1\"");
}

static void changes_are_found_in_either_spelling(void **state)
{
    (void)state;
    enum ingest_change c;
    for (unsigned want = 0; want < INGEST_CHANGE_COUNT; want++)
        for (unsigned types = EVENT_TYPES_LOWER; types <= EVENT_TYPES_UPPER; types++)
            assert_true(ingest_change_find(bytes_of(ingest_change_text((enum ingest_change)want, (enum event_types)types)), &c) &&
                        c == want);
    assert_false(ingest_change_find(bytes_of("BOOKMARK"), &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_in_every_piece),
        cmocka_unit_test(values_stay),
        cmocka_unit_test(a_short_text_is_left_as_it_was),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(many_keys_are_sorted),
        cmocka_unit_test(many_containers_find_their_statuses),
        cmocka_unit_test(names_are_found_in_few_steps),
        cmocka_unit_test(quantities_are_canonical),
        cmocka_unit_test(times_are_of_utc),
        cmocka_unit_test(texts_and_keys_are_escaped_as_go_does),
        cmocka_unit_test(bytes_that_are_no_utf8),
        cmocka_unit_test(names_are_views),
        cmocka_unit_test(twenty_kinds),
        cmocka_unit_test(events_as_they_are_sent),
        cmocka_unit_test(events_are_renamed),
        cmocka_unit_test(heartbeats),
        cmocka_unit_test(an_empty_snapshot),
        cmocka_unit_test(changes_are_found_in_either_spelling),
    };
    return mem_boot(&profile_hub32, MEM_LAZY) == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
