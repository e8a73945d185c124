# Print lines of results.tsv as rows of the markdown table.  Run by table.sh.

# A number for people: no decimals when it is large.
function number(n) {
	return n == "-" ? "–" : sprintf(n < 100 && n > -100 ? "%.3g" : "%.0f", n)
}

# The same with its unit.
function measured(n, unit) {
	return n == "-" || unit == "-" ? number(n) : number(n) " " unit
}

# The ratio, or of a row of one side only what lies between its rounds.
function ratio_cell(ratio, low, high) {
	if (ratio != "-")
		return sprintf("%.2f (%.2f..%.2f)", ratio, low, high)
	return low == "-" ? "–" : "(" number(low) ".." number(high) ")"
}

# A field of words.
function text(s) { return s == "-" ? "–" : s }

{
	printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", $2, text($3),
		measured($5, $4), measured($6, $4), ratio_cell($7, $8, $9),
		$10 == "-" ? "–" : sprintf("%.2f", $10), text($11), text($12)
}
