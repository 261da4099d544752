# Prints each probe that is met, and goes on.
set pagination off
set breakpoint pending off
set print repeats unlimited
set debuginfod enabled off

define text
  eval "output *(char(*)[%d])$arg0", $arg1
  echo \040
end

break -probe-stap keyrack:grant
commands
  silent
  echo probe grant\040
  text $_probe_arg0 $_probe_arg1
  text $_probe_arg2 $_probe_arg3
  output (long)$_probe_arg4
  echo \n
  continue
end
break -probe-stap keyrack:refusal
commands
  silent
  echo probe refusal\040
  text $_probe_arg0 $_probe_arg1
  text $_probe_arg2 $_probe_arg3
  echo \n
  continue
end
break -probe-stap keyrack:wait
commands
  silent
  echo probe wait\040
  text $_probe_arg0 $_probe_arg1
  text $_probe_arg2 $_probe_arg3
  echo \n
  continue
end
break -probe-stap keyrack:wake
commands
  silent
  echo probe wake\040
  output (long)$_probe_arg0
  echo \n
  continue
end
break -probe-stap keyrack:take_over
commands
  silent
  echo probe take_over\040
  text $_probe_arg0 $_probe_arg1
  text $_probe_arg2 $_probe_arg3
  printf "\"%s\"", (char*)$_probe_arg4
  echo \n
  continue
end
break -probe-stap keyrack:recovery
commands
  silent
  echo probe recovery\040
  output (long)$_probe_arg0
  echo \040
  output (long)$_probe_arg1
  echo \n
  continue
end
run
