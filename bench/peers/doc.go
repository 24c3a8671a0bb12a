// Package peers measures what one call costs in this process: onehop beside what its users would pick instead, on a
// transport that costs nothing. HTTP calls go to a stub in place of the network, gRPC calls over in-memory connections to
// real servers. Every round takes its turns of all candidates one after the other, so that what else the machine does meets
// all of them alike.
package peers
