//go:build integration

package api

import "slices"

func scheduleRows() []row {
	const (
		at      = "spec.schedules"
		first   = at + "[0]."
		naming  = "a schedule's name is lower case letters, digits and '-', 63 characters at most"
		noKey   = "a schedule has an orderingKey and the queue does not order: set ordering to Key, or remove it"
		noShare = "a schedule's priority is none of spec.priorities: name one of them, or remove it"
	)
	return slices.Concat(
		many(at, 32, named("cron", "@daily"), true),
		text(first+"name", 1, 63, letters, ruleOf(first+"name", "", naming)),
		required(first+"name", first+"cron"),
		cronRows(first+"cron"), zoneRows(first+"timeZone"),
		text(first+"type", 1, 128, letters),
		text(first+"orderingKey", 1, 256, letters),
		keys(first+"metadata", 16), text(first+"metadata.note", 0, 256, letters),
		choice(first+"concurrencyPolicy", "Allow", "Forbid", "Replace"),
		choice(first+"missedRuns", "Skip", "RunOnce", "RunAll"),
		durationRows(first+"startingDeadline", "1s", "168h", "999ms", "168h1s", "startingDeadline must be between 1s and 168h"),
		[]row{
			refused("a name that is none", set(first+"name", "A"), ruleOf(first+"name", "A", naming)),
			refused("too long a key of metadata", set(first+"metadata", map[string]any{letters(64): "a"}), rule(first+"metadata", "a key of metadata is 63 characters at most")),
			refused("an ordering key without an order", patch(`spec: {ordering: None, schedules: [{name: a, cron: "@daily", orderingKey: a}]}`), rule("spec", noKey)),
			allowed("the default priority by its name", set(first+"priority", "normal")),
			refused("a priority that there is not", set(first+"priority", "high"), rule("spec", noShare)),
			refused("an empty priority", set(first+"priority", ""), rule("spec", noShare),
				first+`priority: Invalid value: "": `+first+`priority in body should be at least 1 chars long`),
			refused("too long a priority", set(first+"priority", letters(64)), first+"priority: Too long: may not be more than 63 bytes"),
			allowed("a payload that is an object", set(first+"payload", map[string]any{"a": []any{int64(1)}})),
			allowed("a payload that is a text", set(first+"payload", "text")),
			allowed("a payload that is a number", set(first+"payload", int64(7))),
		},
	)
}

func cronRows(path string) []row {
	const form = "cron has five fields with one blank between them (minute, hour, day of month, month, day of week), e.g. '30 2 * * 1-5', or is @hourly, @daily, @weekly, @monthly or @yearly"
	rows := text(path, 1, 128, func(n int) string { return letters(n-8) + " * * * *" }, ruleOf(path, "", form))
	rows[1] = refused(path+" of too many characters", set(path, letters(121)+" * * * *"), path+": Too long: may not be more than 128 bytes")
	for _, good := range []string{"*/5 * * * *", "0 2 1,15 JAN-MAR ?", "@hourly", "@yearly"} {
		rows = append(rows, allowed("cron "+good, set(path, good)))
	}
	for _, bad := range []string{"* * * *", "* * * * * *", "@every 1h", "*  * * * *", "@often"} {
		rows = append(rows, refused("cron "+bad, set(path, bad), ruleOf(path, bad, form)))
	}
	return rows
}

func zoneRows(path string) []row {
	const form = "timeZone is a name of the IANA's such as Europe/Berlin or UTC"
	rows := text(path, 1, 63, letters, ruleOf(path, "", form))
	for _, good := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"} {
		rows = append(rows, allowed("zone "+good, set(path, good)))
	}
	for _, bad := range []string{"Local", "../etc/passwd", "Europe/", "+01:00"} {
		rows = append(rows, refused("zone "+bad, set(path, bad), ruleOf(path, bad, form)))
	}
	return rows
}
