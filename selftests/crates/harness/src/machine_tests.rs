// SPDX-License-Identifier: GPL-2.0-or-later

use super::*;

fn machine() -> Machine {
    Machine {
        kernel: "bzImage".into(),
        module: None,
        programs: None,
        params: "a=1 b='x'".into(),
        no_load: true,
        files: Vec::new(),
        mem: 512,
        smp: 3,
        disk: 0,
        accel: Accel::Tcg,
        append: "threadirqs nosoftlockup".into(),
        qemu_args: "-device  e1000".into(),
        dir: "/nowhere".into(),
    }
}

const JOB: Job<'_> = Job::Script {
    name: "try it.sh",
    content: b"#!/bin/sh\n",
    capture: true,
};

fn arguments(machine: &Machine, ports: &[PortTo; 4]) -> Vec<String> {
    let command = machine.command(Path::new("initramfs"), ports);
    command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect()
}

fn files() -> [PortTo; 4] {
    ["a", "b", "c", "d"].map(|name| PortTo::File(name.into()))
}

#[test]
fn the_kernel_gets_the_arguments_that_are_added() {
    let all = arguments(&machine(), &files());
    let at = all.iter().position(|argument| argument == "-append");
    let appended = &all[at.unwrap() + 1];
    assert!(appended.ends_with(" threadirqs nosoftlockup"), "{appended}");
}

#[test]
fn shell_quoting() {
    assert_eq!(quoted("a b"), "'a b'");
    assert_eq!(quoted("it's"), r"'it'\''s'");
}

#[test]
fn the_settings_are_what_a_shell_reads_back() {
    let settings = machine().settings(JOB).unwrap();
    let script =
        format!("{settings}\nprintf '%s|%s|%s|%s' \"$SCRIPT\" \"$PARAMS\" \"$LOAD\" \"$CAPTURE\"");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "try it.sh|a=1 b='x'|0|1");
}

#[test]
fn the_script_is_executable_in_the_guest() {
    let files = cpio::read_files(&machine().initramfs(JOB).unwrap()).unwrap();
    assert!(files.iter().any(|file| file.path == "root/try it.sh"));
    assert!(files.iter().any(|file| file.path == "init"));
    assert!(!files.iter().any(|file| file.path == "reeve/reeve.ko"));
}

#[test]
fn a_module_to_insert_must_be_given() {
    let machine = Machine {
        no_load: false,
        ..machine()
    };
    assert!(machine.initramfs(JOB).is_err());
}

#[test]
fn directories_go_in_whole() {
    let root = std::env::temp_dir().join(format!("reeve-machine-{}", std::process::id()));
    fs::create_dir_all(root.join("data/deep")).unwrap();
    fs::write(root.join("data/deep/file"), b"x").unwrap();
    let machine = Machine {
        files: vec![root.join("data")],
        ..machine()
    };
    let files = cpio::read_files(&machine.initramfs(JOB).unwrap()).unwrap();
    fs::remove_dir_all(&root).unwrap();
    assert!(files.iter().any(|file| file.path == "root/data/deep/file"));
}

#[test]
fn the_users_arguments_come_last() {
    let arguments = arguments(&machine(), &files());
    assert_eq!(arguments[arguments.len() - 2..], ["-device", "e1000"]);
    assert!(arguments.windows(2).any(|pair| pair == ["-smp", "3"]));
    assert!(arguments
        .windows(2)
        .any(|pair| pair == ["-accel", "tcg,thread=single"]));
}

#[test]
fn every_port_has_its_own_interrupt() {
    let arguments = arguments(&machine(), &files());
    let mut interrupts: Vec<_> = arguments
        .iter()
        .filter_map(|argument| argument.split_once("irq="))
        .map(|(_, irq)| irq.to_owned())
        .collect();
    interrupts.sort();
    interrupts.dedup();
    assert_eq!(interrupts.len(), 4);
}

#[test]
fn a_disk_is_there_while_it_is_used() {
    let dir = std::env::temp_dir().join(format!("reeve-disk-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mut machine = Machine {
        dir: dir.clone(),
        ..machine()
    };
    let has_drive = |machine: &Machine| {
        let all = arguments(machine, &files());
        all.iter().any(|argument| argument.contains("if=virtio"))
    };
    let none = machine.make_disk().unwrap();
    assert!(!has_drive(&machine) && !machine.disk_image().exists());
    drop(none);

    machine.disk = 3;
    fs::write(machine.disk_image(), "old").unwrap();
    let disk = machine.make_disk().unwrap();
    assert!(has_drive(&machine));
    assert_eq!(fs::read(machine.disk_image()).unwrap(), vec![0; 3 << 20]);
    drop(disk);
    assert!(!machine.disk_image().exists());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_delay_loop_is_told_to_a_kernel_with_several_cpus() {
    let text = "processor\t: 0\nbogomips\t: 4890.86\n\nprocessor\t: 1\nbogomips\t: 1.00\n";
    assert_eq!(loops_per_jiffy(text), Some(9_781_720));
    assert_eq!(loops_per_jiffy("BogoMIPS : 50.0\n"), None);
    assert_eq!(loops_per_jiffy("bogomips : 0.00\n"), None);
    assert_eq!(loops_per_jiffy(""), None);
}
