// Package heavy is the part of the fault suite whose faults are brought about by toxiproxy
// (https://github.com/Shopify/toxiproxy): between the caller and its services, and between onehop and a real Consul. It
// is a module of its own so that nobody who imports onehop hears of toxiproxy. `make faults` runs it with the rest.
package heavy
