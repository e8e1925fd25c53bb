//! The one table of labels: English and Chinese, side by side. Must not hold a value of a record.

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// The value of `lang=` and of the attribute `lang`.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language that `lang=` names; `None` if it is neither.
    pub(crate) fn parse(code: &str) -> Option<Self> {
        let primary = code.trim().split(['-', '_']).next().unwrap_or_default();
        [Self::English, Self::Chinese].into_iter().find(|language| primary.eq_ignore_ascii_case(language.code()))
    }

    /// The language that an `Accept-Language` header prefers; English if it accepts neither.
    pub(crate) fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::English);
        for part in header.split(',') {
            let (range, weight) = part.split_once(';').unwrap_or((part, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse().ok());
            let weight: f32 = weight.unwrap_or(0.0);
            if let Some(language) = Self::parse(range).filter(|_| weight > best.0) {
                best = (weight, language);
            }
        }
        best.1
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::English => Self::Chinese,
            Self::Chinese => Self::English,
        }
    }

    pub(super) const fn labels(self) -> &'static Labels {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

macro_rules! labels {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// The labels of one language. `{}` stands for a value.
        pub(super) struct Labels {
            $(pub(super) $name: &'static str,)*
        }

        const ENGLISH: Labels = Labels { $($name: $english,)* };
        const CHINESE: Labels = Labels { $($name: $chinese,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese),)*];
    };
}

labels! {
    // The frame of every page.
    skip: "Skip to the content", "跳到正文";
    pages: "Pages", "页面";
    runs: "Runs", "训练任务";
    health: "Health", "健康状况";
    other_language: "中文", "English";
    utc: "All times are UTC.", "所有时间均为 UTC。";
    still: "Without JavaScript this page does not update itself.", "未启用 JavaScript，页面不会自动更新。";
    reload: "Reload", "刷新";
    lost_contact: "runwrap serve does not answer; the page shows an earlier state.", "runwrap serve 无响应，页面显示的是较早的状态。";
    away: "The database has not answered since {}.", "数据库自 {} 起无响应。";
    away_old: "Shown is the state of {}.", "以下是 {} 的状态。";
    away_empty: "Nothing was read before.", "此前没有读到任何数据。";
    // The list.
    filter: "Filter", "筛选";
    filters: "Filters", "筛选条件";
    clear: "Clear", "清除";
    no_record: "There is no record yet. This command makes one:", "还没有记录。运行以下命令即可产生一条：";
    no_match: "No record fits these filters.", "没有符合条件的记录。";
    older: "Older runs", "更早的任务";
    newest: "Newest runs", "最新的任务";
    compare_selected: "Compare the selected runs", "对比选中的任务";
    select: "Select to compare", "选择以对比";
    // The columns of a record.
    record: "Record", "记录";
    run: "Run", "任务";
    name: "Name", "名称";
    status: "Status", "状态";
    tag: "Tag", "标签";
    started: "Started", "开始时间";
    ended: "Ended", "结束时间";
    duration: "Duration", "时长";
    elapsed: "Elapsed", "已运行";
    last_seen: "Last sign of life", "最近心跳";
    seen: "Last seen", "最近心跳";
    curve: "Curve", "曲线";
    exit_code: "Exit code", "退出码";
    signal: "Signal", "信号";
    stop_signal: "Asked to stop by", "停止请求信号";
    presumed: "Presumed", "推定";
    yes: "yes", "是";
    error: "Error message", "错误信息";
    model: "Model", "模型";
    model_bytes: "Size of the model", "模型大小";
    command: "Command", "命令";
    directory: "Directory", "工作目录";
    host: "Host", "主机";
    user: "User", "用户";
    pid: "Process id", "进程号";
    stdout: "Standard output", "标准输出";
    stderr: "Standard error", "标准错误";
    cpu_user: "CPU time, user", "用户态 CPU 时间";
    cpu_system: "CPU time, system", "内核态 CPU 时间";
    memory: "Most memory", "内存峰值";
    job: "Job", "作业";
    attempt: "Attempt", "尝试";
    parent: "Started by run", "父任务";
    heartbeat: "Last heard by the database", "数据库最近收到";
    last_seen_at: "Last sign of life", "最近动静";
    lease: "Lease", "租约";
    run_id: "Run id", "任务 ID";
    created: "Created", "创建时间";
    // The parts of a record's page.
    result: "Result", "结果";
    metrics: "Metrics", "指标";
    process: "Process", "进程";
    resources: "Resources", "资源";
    circumstances: "Circumstances", "运行环境";
    further: "Further columns of the table", "表中的其他列";
    attempts: "Attempts of the job", "作业的各次尝试";
    children: "Runs inside this run", "子任务";
    notes: "Notes", "备注";
    decisions: "Decisions", "处理记录";
    ended_by: "ended by {}", "由 {} 结束";
    as_json: "as JSON", "JSON 格式";
    // Curves.
    curves: "Curves", "曲线";
    further_curves: "Further curves", "其他曲线";
    all_curves: "All curves", "全部曲线";
    axis: "Axis", "横轴";
    by_step: "by step", "按步数";
    by_time: "by time", "按时间";
    scale: "Scale", "纵轴";
    linear: "linear", "线性";
    logarithmic: "logarithmic", "对数";
    step: "Step", "步数";
    time: "Time", "时间";
    value: "Value", "值";
    lowest: "Lowest", "最小值";
    highest: "Highest", "最大值";
    summary: "last {}, lowest {}, highest {}", "最新 {}，最小 {}，最大 {}";
    overlay: "runs: {}", "任务数：{}";
    range: "from {} to {}", "从 {} 到 {}";
    so_far: "so far", "进行中";
    one_value: "1 value", "1 个值";
    values: "{} values", "{} 个值";
    not_numbers: "{} of them {}", "其中 {} 个为 {}";
    not_positive: "at or below 0 and not on this scale: {}", "不大于 0、对数轴上无法显示：{}";
    no_point: "no value to draw", "没有可绘制的值";
    points: "Points", "数据点";
    points_some: "{} of {}", "{} / {}";
    // The comparison.
    comparison: "Comparison", "对比";
    differences: "Differences", "差异";
    same: "The records do not differ.", "各记录没有差异。";
    choose: "Select runs in the list, or name them in the address: /compare?ids=1,2", "在列表中选择任务，或写在网址中：/compare?ids=1,2";
    missing: "No such record: {}", "没有此记录：{}";
    // Health.
    living: "Living runs", "存活任务";
    overdue: "Overdue", "超期";
    overdue_run: "the lease has run out", "租约已到期";
    stuck: "Stuck", "停滞";
    undelivered: "Undelivered journals", "未投递的日志";
    recovery: "Recovery", "恢复";
    last_recovery: "Last recovery", "最近一次恢复";
    recovery_off: "off (--recover starts it)", "未启用（用 --recover 启用）";
    database: "Database", "数据库";
    errors: "Errors of the database", "数据库错误";
    checks: "Checks", "检查";
    table: "Table", "表";
    service_since: "Serving since", "服务启动于";
    oldest_heartbeat: "oldest heartbeat {}", "最旧心跳 {}";
    stuck_after: "no sign of life for {}", "超过 {} 没有动静";
    on_this_host: "on this host", "在本机";
    every: "every {}", "每 {}";
    recovered: "Ended since the start", "启动以来结束的记录";
    recovery_error: "Error of the last round", "上一轮的错误";
    ok: "ok", "正常";
    warning: "warning", "警告";
    fault: "failure", "故障";
    none: "none", "无";
    // The statuses, and the reasons in the order of their names.
    training: "training", "训练中";
    completed: "completed", "已完成";
    failed: "failed", "失败";
    unknown: "unknown", "未知";
    exit: "exit code", "非零退出码";
    by_signal: "signal", "被信号终止";
    cancelled: "cancelled", "已取消";
    oom: "out of memory", "内存不足";
    timeout: "timeout", "超时";
    spawn: "not started", "无法启动";
    supervisor_killed: "supervisor killed", "监督进程被杀";
    supervisor_error: "supervisor failed", "监督进程出错";
    lost: "lost", "失联";
    stuck_record: "stuck", "停滞";
    manual: "set by an operator", "人工标记";
    // Time.
    days: "d", " 天";
    hours: "h", " 小时";
    minutes: "m", " 分";
    seconds: "s", " 秒";
    ago: "{} ago", "{}前";
    // Errors.
    not_found: "Not found", "未找到";
    not_found_page: "There is no such page.", "没有这个页面。";
    not_found_record: "There is no record {}.", "没有记录 {}。";
    bad_request: "This address cannot be read", "无法识别的网址";
    failure: "The page cannot be shown", "无法显示页面";
    to_runs: "To the runs", "返回任务列表";
}

/// `label` with each `{}` replaced by the next of `values`.
pub(super) fn filled(label: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut parts = label.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += values.next().copied().unwrap_or_default();
        text += part;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_both_languages_and_the_same_places() {
        for (name, english, chinese) in ALL {
            assert!(!english.is_empty() && !chinese.is_empty(), "{name}");
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{name}");
        }
    }

    #[test]
    fn values_fill_the_places_and_are_not_read_again() {
        assert_eq!(filled("{} of {}", &["{}", "2"]), "{} of 2");
        assert_eq!(filled("{} ago", &["12s"]), "12s ago");
        assert_eq!(filled("none", &["x"]), "none");
    }

    #[test]
    fn accept_language_is_weighed() {
        for (header, language) in [
            ("", Language::English),
            ("zh", Language::Chinese),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.9,zh;q=0.8", Language::English),
            ("en;q=0.2, zh-TW ;q=0.7", Language::Chinese),
            ("fr, de;q=0.9", Language::English),
            ("fr, zh;q=0.1", Language::Chinese),
            ("zh;q=0", Language::English),
            ("zh;q=x", Language::English),
            ("*", Language::English),
            (";;,,=\u{202e}", Language::English),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
        assert_eq!(Language::parse("ZH-hans"), Some(Language::Chinese));
        assert_eq!(Language::parse("zhx"), None);
    }
}
