# What a row measured, and what is made of it: samples, the table, the plots.
# Sourced by bench/run.  README.md, "A row", says how a row uses it.

# ------------------------------------------------------------------ samples

# The two sides, in an order that changes from round to round.
sides() {
	if (($1 % 2)); then echo ours theirs; else echo theirs ours; fi
}

# Keep a number.  Line n of a row's two files is round n of the two sides.
#   record KEY SIDE NUMBER
record() { echo "$3" >>"$work/$1.$2.samples"; }

# Keep the rate that tps has left, and the server's CPU time that it took.
#   record_tps KEY SIDE
record_tps() {
	record "$1" "$2" "$tps"
	record "$1.cpu" "$2" "$cpu"
}

# Keep a point of a plot; those at the same place are rounds.
#   point PLOT CURVE X Y
point() { printf '%s\t%s\t%s\n' "$2" "$3" "$4" >>"$work/$1.points"; }

# The median of the numbers on standard input.
median() {
	sort -g | awk '{ v[NR] = $1 }
		END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# The median, the lowest and the highest of the numbers on standard input.
spread() {
	sort -g | awk '{ v[NR] = $1 } END {
		printf "%.6g %.6g %.6g\n", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[1], v[NR] }'
}

# ---------------------------------------------------------------- the table

# The fields of results.tsv; an empty one is -.
fields=(name work against unit ours theirs ratio low high by_cpu target met)

# Print the table's head; the first line says where it was measured.
begin_table() {
	(IFS=$'\t'; echo "${fields[*]}") >"$base/results.tsv"
	echo "$*" | tee "$base/table.txt"
	printf '%s\n' '' \
		'| work | against | ours | theirs | ratio (min..max) | by CPU | target | met |' \
		'| --- | --- | --- | --- | --- | --- | --- | --- |' | tee -a "$base/table.txt"
}

# Write one line of results.tsv, and print it as a row of the table.
#   emit WORK AGAINST UNIT OURS THEIRS RATIO LOW HIGH BY_CPU TARGET MET
emit() {
	(IFS=$'\t'; echo "$name	$*") >>"$base/results.tsv"
	tail -n 1 "$base/results.tsv" | awk -F '\t' -f "$here/table.awk" |
		tee -a "$base/table.txt"
}

# Say how many targets were met, and which were not.
end_table() {
	awk -F '\t' 'NR > 1 && $11 != "-" { n++; $12 == "no" ? missed++ : met++ }
		END { printf "\n%d of %d targets met\n", met, n }' "$base/results.tsv" |
		tee -a "$base/table.txt"
}

# Is a number as a target wants it?  Prints yes, no, or - without a target.
#   meets NUMBER TARGET
meets() {
	if [[ $1 = - || -z $2 || $2 = - ]]; then
		echo -
	else
		awk "BEGIN { print (($1) + 0 ${2/#=/==} + 0) ? \"yes\" : \"no\" }"
	fi
}

# The ratios of a key, round by round: median, lowest, highest.
ratios() {
	paste "$work/$1.ours.samples" "$work/$1.theirs.samples" |
		awk '{ print $1 / ($2 ? $2 : 1e-9) }' | spread
}

# A row of two sides, from their samples.  The ratio is ours / theirs, taken
# round by round; so is that by CPU, turned round where the unit is a rate.
#   row KEY WORK AGAINST UNIT TARGET, which is like '>= 0.95', or empty
row() {
	local ratio low high cpu=- met
	read -r ratio low high < <(ratios "$1")
	if [ -f "$work/$1.cpu.ours.samples" ]; then
		read -r cpu _ < <(ratios "$1.cpu")
		[[ $4 != /s ]] || cpu=$(awk "BEGIN { printf \"%.6g\", 1 / $cpu }")
	fi
	met=$(meets "$ratio" "$5")
	[ "$met $(meets "$cpu" "$5")" != 'no yes' ] || met='by CPU'
	emit "$2" "$3" "$4" "$(median <"$work/$1.ours.samples")" \
		"$(median <"$work/$1.theirs.samples")" \
		"$ratio" "$low" "$high" "$cpu" "${5:--}" "$met"
}

# A row of one side, from its samples (record KEY ours NUMBER); the target is
# of the number itself.
#   value KEY WORK UNIT TARGET, which is like '>= 1500', or empty
value() {
	local number low high
	read -r number low high < <(spread <"$work/$1.ours.samples")
	emit "$2" - "$3" "$number" - - "$low" "$high" - "${4:--}" \
		"$(meets "$number" "$4")"
}

# A row that is one number, counted once.
#   fact WORK NUMBER UNIT TARGET, which is like '= 0', or empty
fact() { emit "$1" - "${3:--}" "$2" - - - - - "${4:--}" "$(meets "$2" "$4")"; }

# ---------------------------------------------------------------- the plots

# Describe a plot, whose points are kept by now or later.  Its file is
# PLOT.svg; more settings are gnuplot's, such as 'set logscale x 2'.
#   plot PLOT TITLE X-LABEL Y-LABEL [SETTING...]
plot() {
	{
		printf 'set title "%s"\nset xlabel "%s"\nset ylabel "%s"\n' "${@:2:3}"
		[ $# -lt 5 ] || printf '%s\n' "${@:5}"
	} >"$work/$1.plot"
}

# The points of a plot: a block for each curve, headed by its name, of x, the
# median, the lowest and the highest y.
curves() {
	local curve x
	cut -f 1 "$1" | awk '!seen[$0]++' | while read -r curve; do
		echo "\"$curve\""
		awk -F '\t' -v c="$curve" '$1 == c { print $2 }' "$1" | sort -gu |
			while read -r x; do
				echo "$x $(awk -F '\t' -v c="$curve" -v x="$x" \
					'$1 == c && $2 == x { print $3 }' "$1" | spread)"
			done
		printf '\n\n'
	done
}

# Draw all plots that were described: medians, with bars from the lowest to
# the highest.  Their numbers stay beside them, in PLOT.dat.
draw_plots() {
	local file name
	for file in "$work"/*.plot; do
		[ -f "$file" ] || continue
		name=$(basename "$file" .plot)
		[ -f "$work/$name.points" ] || continue
		curves "$work/$name.points" >"$base/$name.dat"
		if ! command -v gnuplot >/dev/null; then
			say "there is no gnuplot: $name.dat has no picture"
			continue
		fi
		run_job gnuplot <(cat <<-PLOT
			set terminal svg size 860,420 noenhanced font 'sans-serif,13' background 'white'
			set output '$base/$name.svg'
			set key outside right center vertical samplen 2
			set grid
			load '$file'
			plot for [i = 0 : $(grep -c '^"' "$base/$name.dat") - 1] '$base/$name.dat' index i \\
				using 1:2:3:4 with yerrorlines pointtype 7 pointsize 0.5 \\
				title columnheader(1)
		PLOT
		)
		say "drawn: $base/$name.svg"
	done
}
