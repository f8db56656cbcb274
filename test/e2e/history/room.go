package history

// Room is what happened in one room.
type Room struct {
	Published Ledger
	// Clients are what each received, by their names.
	Clients map[string]History
}

// Judge checks every client against what was published, and the clients against each other.
func (r Room) Judge() (reports map[string]Report, disagreements []Violation) {
	reports = map[string]Report{}
	for client, h := range r.Clients {
		reports[client] = Check(h, r.Published)
	}
	return reports, Agree(r.Clients)
}
