// Package wire measures calls end to end on loopback: real sockets, instances in processes of their own, real proxies.
//
// [Speed] sends the same calls over every way there is to make them (straight by net/http or grpc-go, through onehop,
// through failsafe-go, through nginx, haproxy and Traefik) and compares throughput, latency, CPU and memory. [Failures]
// breaks one of ten instances and counts what each way lets the caller feel. Every way has its own load generator
// process, so that CPU and memory are its own; only one generator works at a time; and ways take turns within a round,
// so that what disturbs the machine disturbs all of them alike.
//
// Children are this program itself, run again: see role.go.
package wire
