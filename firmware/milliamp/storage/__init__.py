# What survives a power cut: records, the journal, settings; and the clock and device model.
